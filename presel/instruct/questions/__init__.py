"""What is asked and how the answer is read: prompts, requests, schemas, parsing, judging."""

from presel.errors import require

require("instruct", "a prompt")
