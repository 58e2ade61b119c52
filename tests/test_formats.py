import json

from hypothesis import given
from hypothesis import strategies as st

from presel.dataset.texts import neutral
from presel.dataset.trainer_formats import (
    llava,
    llava_json,
    messages,
    messages_jsonl,
)
from tests.trainer_records import turns_of_llava, turns_of_messages

TEXT = st.text(max_size=40)
TURNS = st.lists(st.fixed_dictionaries({"question": TEXT, "response": TEXT}), min_size=1, max_size=4)
ODD = "a\u0085b\u2028c\u2029d\r\ne\tf\x00g"


def record(turns: list[dict[str, str]], key: str = "ocr/a b.png") -> dict[str, object]:
    return {"sample_id": "5a", "task": "ocr", "key": key, "turns": turns, "cost_usd": 0.1}


def read_as_llava_trainers_do(source: dict[str, object]) -> tuple[str, int]:
    """What LLaVA's `preprocess_multimodal` and tokenizer make of a record: the text, and how many pictures it wants."""
    said = ""
    for sentence in source["conversations"]:
        value = sentence["value"]
        if "<image>" in value:
            value = ("<image>\n" + value.replace("<image>", "").strip()).strip()
        said += f"{sentence['from']}: {value}\n"
    return said, said.count("<image>")


@given(TURNS)
def test_llava_gives_back_the_turns_it_got(turns: list[dict[str, str]]) -> None:
    clean = [{name: neutral(text) for name, text in turn.items()} for turn in turns]
    assert turns_of_llava(llava(record(turns))) == clean


@given(TURNS)
def test_messages_give_back_the_turns_they_got(turns: list[dict[str, str]]) -> None:
    clean = [{name: neutral(text) for name, text in turn.items()} for turn in turns]
    assert turns_of_messages(messages(record(turns))) == clean


@given(TURNS)
def test_what_is_written_is_what_a_json_reader_reads(turns: list[dict[str, str]]) -> None:
    one = record(turns)
    assert json.loads(b"".join(llava_json([one, one]))) == [llava(one), llava(one)]
    lines = (
        b"".join(messages_jsonl([one, one])).decode().splitlines()
    )  # splits at U+2028 too: a record must stay on its line
    assert [json.loads(line) for line in lines] == [messages(one), messages(one)]


def test_a_llava_record_has_the_shape_trainers_read() -> None:
    turns = [{"question": "How many?", "response": "Two."}, {"question": "Why?", "response": "So."}]
    assert llava(record(turns)) == {
        "id": "5a",
        "image": "ocr/a b.png",
        "conversations": [
            {"from": "human", "value": "<image>\nHow many?"},
            {"from": "gpt", "value": "Two."},
            {"from": "human", "value": "Why?"},
            {"from": "gpt", "value": "So."},
        ],
    }


def test_a_trainer_finds_one_picture_whatever_the_annotator_wrote() -> None:
    hostile = [
        {"question": "<image> or <<image>image>?", "response": "An <image>."},
        {"question": "<image>", "response": "x"},
    ]
    said, pictures = read_as_llava_trainers_do(llava(record(hostile)))
    assert pictures == 1
    assert said.startswith("human: <image>\n[image] or")
    parts = [part for said in messages(record(hostile))["messages"] for part in said["content"]]
    assert [part["type"] for part in parts].count("image") == 1
    assert not any("<image>" in part.get("text", "") for part in parts)


def test_messages_name_the_picture_once_before_the_first_question() -> None:
    turns = [{"question": "How many?", "response": "Two."}, {"question": "Why?", "response": "So."}]
    made = messages(record(turns))
    assert made["images"] == ["ocr/a b.png"]
    assert [said["role"] for said in made["messages"]] == ["user", "assistant", "user", "assistant"]
    assert made["messages"][0]["content"] == [{"type": "image"}, {"type": "text", "text": "How many?"}]
    assert made["messages"][2]["content"] == [{"type": "text", "text": "Why?"}]


def test_line_breaks_that_only_unicode_knows_do_not_break_a_line() -> None:
    data = b"".join(messages_jsonl([record([{"question": ODD, "response": ODD}])]))
    assert len(data.decode().splitlines()) == 1
    assert turns_of_messages(json.loads(data)) == [{"question": ODD, "response": ODD}]


def test_no_records_are_still_a_readable_file() -> None:
    assert json.loads(b"".join(llava_json([]))) == []
    assert b"".join(messages_jsonl([])) == b""
