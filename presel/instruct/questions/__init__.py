"""What is asked and how the answer is read: prompts, requests, schemas, parsing, judging."""
