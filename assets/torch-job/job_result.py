"""What a job leaves behind: checkpoints on the way, and a result that is complete or not there."""

import json
import os
import shutil

import torch
from safetensors.torch import save_file

from job_data import sha256


def save_checkpoint(path, state):
    """Replaced in one step: a process that is killed leaves the old one or the new one."""
    temporary = path.with_suffix(".tmp")
    with open(temporary, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_checkpoint(path, job_id):
    """None where there is none, or where it belongs to another job."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise SystemExit(f"{path} cannot be read ({error}); delete it to start from the beginning") from error
    if state["id"] != job_id:
        raise SystemExit(f"{path} belongs to job {state['id']}, this is {job_id}; delete it to start from the beginning")
    return state


def trained_state(model):
    return {name: value.detach().cpu() for name, value in model.named_parameters() if value.requires_grad}


def is_finished(folder, job_id):
    path = folder / "result" / "metrics.json"
    return path.exists() and json.loads(path.read_text()).get("id") == job_id


def write_result(folder, *, job, path, model, tokenizer, logits, metrics):
    """result/: adapter/ or model/, classifier.safetensors, selection-logits.safetensors, metrics.json."""
    temporary, final = folder / "result.tmp", folder / "result"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    method = job["recipe"]["method"]
    if method == "lora":
        model.encoder.save_pretrained(temporary / "adapter")
        name_base_model(temporary / "adapter" / "adapter_config.json", job["baseModel"])
    elif method == "full":
        model.encoder.save_pretrained(temporary / "model")
        tokenizer.save_pretrained(temporary / "model")
        copy_pooling(path, temporary / "model")
    save_file(
        {f"classifier.{name}": value.detach().cpu().contiguous() for name, value in model.classifier.state_dict().items()},
        temporary / "classifier.safetensors",
    )
    save_file({"logits": logits.contiguous()}, temporary / "selection-logits.safetensors")
    files = {
        path.relative_to(temporary).as_posix(): {"bytes": path.stat().st_size, "hash": sha256(path)}
        for path in sorted(temporary.rglob("*"))
        if path.is_file()
    }
    (temporary / "metrics.json").write_text(json.dumps({**metrics, "files": files}, indent=2) + "\n")
    shutil.rmtree(final, ignore_errors=True)
    os.replace(temporary, final)


def copy_pooling(source, target):
    """What sentence-transformers keeps beside the weights, without which the folder would be another model."""
    for name in ("modules.json", "sentence_bert_config.json", "1_Pooling/config.json"):
        if (source / name).exists():
            (target / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, target / name)


def name_base_model(path, base_model):
    """PEFT writes down the folder that the model was loaded from, which means nothing elsewhere."""
    config = json.loads(path.read_text())
    source = base_model["source"]
    config["base_model_name_or_path"] = source.get("repository", base_model["name"])
    config["revision"] = source.get("revision")
    path.write_text(json.dumps(config, indent=2) + "\n")
