"""Makes an official Python client do a list of calls and prints what it understood of each, as one JSON object."""

import importlib
import json
import sys
from functools import reduce

order = json.load(sys.stdin)
module = importlib.import_module(order["client"])
Client = {"openai": "OpenAI", "anthropic": "Anthropic"}[order["client"]]
client = getattr(module, Client)(
    base_url=order["baseUrl"],
    api_key="sk-caller",
    max_retries=0,
    timeout=10,
    default_headers=order["headers"],
)


def method(path):
    return reduce(getattr, path.split("."), client)


def dump(value):
    return value.model_dump() if hasattr(value, "model_dump") else value


def plain(path, args):
    result = method(path)(**args)
    return [dump(one) for one in result] if path == "models.list" else dump(result)


def stream(path, args):
    return [dump(event) for event in method(path)(**args)]


def gather(path, args):
    with method(path)(**args) as events:
        final = "get_final_response" if path.startswith("responses") else "get_final_message"
        return dump(getattr(events, final)())


def fail(path, args):
    try:
        return {"unexpected": (stream if args.get("stream") else plain)(path, args)}
    except module.APIStatusError as error:
        return {"class": type(error).__name__, "status": error.status_code, "body": error.body}
    except module.APIError as error:
        return {"class": type(error).__name__, "message": error.message, "body": error.body}


MODES = {"plain": plain, "stream": stream, "gather": gather, "fail": fail}
print(json.dumps({c["name"]: MODES[c["mode"]](c["method"], c["args"]) for c in order["calls"]}))
