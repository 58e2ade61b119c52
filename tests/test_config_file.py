from __future__ import annotations

from pathlib import Path

import pytest

from presel.config import RefreshConfig, Section
from presel.config.file import load
from presel.config.template import render
from presel.errors import ConfigError

GOOD = "source:\n  uri: pool\nstore: store\ngenerator:\n  max_cost: 5\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "presel.yaml"
    path.write_text(text)
    return path


def complaint(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text))
    return str(caught.value)


def test_a_good_file_loads_and_overrides_go_on_top(tmp_path):
    path = write(tmp_path, GOOD)
    assert load(path).budget.share == 0.15
    assert load(path, ["budget.share=0.3", "generator.max_cost=unlimited"]).budget.share == 0.3


def test_a_typo_is_named_with_its_line_and_the_field_that_was_meant(tmp_path):
    said = complaint(tmp_path, GOOD.replace("max_cost", "max_cots"))
    assert "presel.yaml:5: generator.max_cots: there is no such field; did you mean `max_cost`?" in said
    assert "presel.yaml:4: generator.max_cost: this field is required and not set" in said
    assert "2 mistakes" in said


def test_a_wrong_value_is_named_with_its_line_and_what_was_got(tmp_path):
    said = complaint(tmp_path, GOOD + "budget:\n  share: 1.5\n")
    assert "presel.yaml:7: budget.share" in said
    assert "got 1.5" in said


def test_broken_yaml_is_named_with_its_line(tmp_path):
    assert "presel.yaml:2" in complaint(tmp_path, "source:\n\turi: x\n")


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="presel init"):
        load(tmp_path / "none.yaml")


def test_the_template_is_valid_and_names_every_field(tmp_path):
    text = render(source__uri="pool", store="here")
    config = load(write(tmp_path, text))
    assert (config.source.uri, config.store) == (str(tmp_path / "pool"), str(tmp_path / "here"))
    for name in _fields(RefreshConfig):
        assert f"{name}:" in text


def test_uncommenting_the_whole_template_changes_no_default(tmp_path):
    plain = load(write(tmp_path, render()))
    lines = [line.replace("# ", "", 1) if line.lstrip().startswith("# ") and ":" in line and not _prose(line) else line
             for line in render().splitlines()]  # fmt: skip
    assert load(write(tmp_path, "\n".join(lines))) == plain


def _prose(line: str) -> bool:
    return line.lstrip("# ").split(":")[0] not in _fields(RefreshConfig)


def _fields(model: type[Section]) -> set[str]:
    found = set(model.model_fields)
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            found |= _fields(field.annotation)
    return found


def test_relative_addresses_start_from_the_files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "presel.yaml").write_text(GOOD.replace("uri: pool", "uri: ../pool"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = load(Path("../sub/presel.yaml"))
    assert (config.source.uri, config.store) == (str(tmp_path / "pool"), str(tmp_path / "sub" / "store"))
    with_s3 = load(Path("../sub/presel.yaml"), ["store=s3://bucket/x"])
    assert with_s3.store == "s3://bucket/x"


def test_the_environment_fills_in_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "presel.yaml").write_text(GOOD)
    monkeypatch.setenv("BUCKET", "s3://mine")
    config = load(tmp_path / "presel.yaml", ["store=${BUCKET}/presel", "source.uri=${BUCKET}/images"])
    assert (config.source.uri, config.store) == ("s3://mine/images", "s3://mine/presel")


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ("s3:/bucket/x", "begins with s3://"),
        ("${NOBODY_SET_THIS}", "NOBODY_SET_THIS is not set"),
        ("file:x", "file://"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused_in_words(store: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "presel.yaml").write_text(GOOD)
    with pytest.raises(ConfigError, match=told) as caught:
        load(tmp_path / "presel.yaml", [f"store={store}"])
    assert caught.value.exit_code == 2


def test_where_an_export_goes_and_what_is_kept_apart_start_from_the_files_folder(tmp_path: Path) -> None:
    path = tmp_path / "presel.yaml"
    path.write_text(render(store="store", source__uri="pool") + "\nexport: {to: train}\nexclude: [tests, s3://b/t]\n")
    config = load(path)
    assert config.export.to == str(tmp_path / "train")
    assert config.exclude == (str(tmp_path / "tests"), "s3://b/t")


def test_a_mistake_in_an_override_names_the_override_and_no_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "presel.yaml"
    path.write_text("source:\n  uri: pool\nstore: s\ngenerator: {max_cost: 5}\nbudget:\n  share: 0.1\n")
    with pytest.raises(ConfigError) as raised:
        load(path, ["budget.share=7"])
    assert "--set budget.share=7: budget.share:" in str(raised.value)
    assert "presel.yaml:" not in str(raised.value)


@pytest.mark.parametrize("said", ["15%", "15 %", "15.0%", "0.15"])
def test_a_share_may_be_written_in_per_cent(tmp_path: Path, said: str) -> None:
    path = tmp_path / "presel.yaml"
    path.write_text(f"source:\n  uri: pool\nstore: s\ngenerator: {{max_cost: 5}}\nbudget:\n  share: {said}\n")
    assert load(path).budget.share == pytest.approx(0.15)
    assert load(path, ["reference.share=5%"]).reference.share == pytest.approx(0.05)


def test_one_wrong_value_is_one_mistake_however_many_alternatives_there_are(tmp_path):
    path = tmp_path / "presel.yaml"
    path.write_text(GOOD)
    with pytest.raises(ConfigError) as caught:
        load(path, ["generator.max_cost=-1"])
    said = str(caught.value)
    assert "one mistake" in said
    assert (
        "--set generator.max_cost=-1: generator.max_cost: input should be greater than or equal to 0 or input" in said
    )
    assert said.count("got -1") == 1


def test_a_section_that_only_an_override_names_is_that_overrides_mistake(tmp_path):
    path = tmp_path / "presel.yaml"
    path.write_text(GOOD)
    with pytest.raises(
        ConfigError, match=r"--set budgt\.share=1: budgt: there is no such field; did you mean `budget`"
    ):
        load(path, ["budgt.share=1"])
    path.write_text(f"{GOOD}budgt:\n  share: 1\n")
    with pytest.raises(ConfigError, match=r"presel\.yaml:6: budgt: there is no such field"):
        load(path, ["budgt.share=1"])
