"""Drives the official Python client through a list of calls and prints what it understood, as one JSON object."""

import json
import sys

import openai

base_url, headers = sys.argv[1], json.loads(sys.argv[2])
client = openai.OpenAI(
    base_url=base_url, api_key="sk-caller", max_retries=0, timeout=10, default_headers=headers
)
MESSAGES = [
    {"role": "system", "content": "Name the intent."},
    {"role": "user", "content": "I lost my card"},
]
SCHEMA = {
    "type": "object",
    "properties": {"label": {"enum": ["card_lost", "refund"]}},
    "required": ["label"],
}
TOOLS = {
    "tools": [{"type": "function", "function": {"name": "classify", "parameters": SCHEMA}}],
    "tool_choice": {"type": "function", "function": {"name": "classify"}},
}


def plain(model="gpt-4o-mini", **more):
    return client.chat.completions.create(model=model, messages=MESSAGES, **more).model_dump()


def stream(model="gpt-4o-mini", **more):
    chunks = client.chat.completions.create(model=model, messages=MESSAGES, stream=True, **more)
    return [chunk.model_dump() for chunk in chunks]


def failure(call):
    try:
        return {"unexpected": call()}
    except openai.APIStatusError as error:
        return {"class": type(error).__name__, "status": error.status_code, "body": error.body}
    except openai.APIError as error:
        return {"class": type(error).__name__, "message": error.message, "code": error.code}


CALLS = {
    "plain": plain,
    "stream": stream,
    "streamUsage": lambda: stream(stream_options={"include_usage": True}),
    "tool": lambda: plain(**TOOLS),
    "toolStream": lambda: stream(**TOOLS),
    "error": lambda: failure(lambda: plain(model="error-429")),
    "badRequest": lambda: failure(lambda: plain(extra_body={"messages": "x"})),
    "unfinished": lambda: failure(lambda: stream(model="unfinished")),
    "models": lambda: [model.model_dump() for model in client.models.list()],
}

print(json.dumps({name: CALLS[name]() for name in sys.argv[3].split(",")}))
