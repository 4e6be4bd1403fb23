"""From files to tokens: what is read as text, what is tokenised once, what a kill or the context leaves."""

from __future__ import annotations

import gzip
import io
import json
import multiprocessing
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import text_checkpoints
from rich.console import Console

import trainwright as tw
from trainwright.data import token_store
from trainwright.features.language.checkpoint import load_language_tokenizer
from trainwright.foundation.errors import DataError, RecipeError
from trainwright.recipe.recipe import DataSettings
from trainwright.reporting.console import language_summary
from trainwright.tasks.language import LANGUAGE_TASKS, Reading
from trainwright.workshop import language_data
from trainwright.workshop.ask import ask_recipe
from trainwright.workshop.language_context import fit_to_context
from trainwright.workshop.language_data import LanguageData, describe_language, prepare_language
from trainwright.workshop.language_source import as_text
from trainwright.workshop.places import placed

SMALL: dict[str, Any] = {"language.vocabulary": 400}
TINY: dict[str, Any] = SMALL | {
    "model.options": {"depth": 1, "width": 32, "heads": 2},
    "language.context": 64,
    "training.batch_tokens": 512,
    "evaluation.bootstrap": 20,
    "evaluation.sample_tokens": 4,
}


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def prepared(data: Any, task: str = "causal-lm", **settings: Any) -> LanguageData:
    recipe, frame, base = ask_recipe(data, target=None, task=task, settings=SMALL | settings)
    return prepare_language(recipe, frame, base=base)


def fit(data: LanguageData, context: int, long: Any) -> None:
    assert data.recipe.task is not None
    reading = Reading(context=context, long=long, seed=0, vocabulary=data.tokenizer.vocabulary)
    fit_to_context(data, LANGUAGE_TASKS[data.recipe.task](data.tokens, reading))


def write_rows(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def chat(number: int, words: int = 3) -> dict[str, Any]:
    answer = " ".join(["so", "it", "is"] * words)
    return {"prompt": f"What is {number}?", "completion": f"{number}: {answer}."}


def preference(number: int) -> dict[str, Any]:
    return {"prompt": f"Say {number}.", "chosen": f"Gladly: {number}.", "rejected": f"No, not {number}."}


def pair(number: int) -> dict[str, Any]:
    return {"source": f"one {number}", "target": f"eins {number}"}


# Few samples.


@pytest.mark.parametrize(
    ("task", "row"), [("chat", chat), ("preference", preference), ("sequence-to-sequence", pair)]
)
def test_forty_samples_are_learned_from_whole(task: str, row: Any, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "few.jsonl", [row(number) for number in range(40)])
    data = prepared(path, task)
    assert {part: len(index) for part, index in data.indices.items()} == {
        "training": 36,
        "validation": 2,
        "test": 2,
    }
    assert not data.quarantined
    sample = data.indices["training"][0]
    text = data.tokenizer.decode(
        data.tokens.ids[data.tokens.offsets[sample] : data.tokens.offsets[sample + 1]]
    )
    value = next(iter(row(int(data.tokens.rows[sample // data.parts_each])).values()))
    assert value in text
    if task == "preference":  # the two answers are the two that were written
        for index in np.concatenate(list(data.indices.values())).tolist():
            pair_of = [
                data.tokens.ids[data.tokens.offsets[index + n] : data.tokens.offsets[index + n + 1]]
                for n in (0, 1)
            ]
            assert "Gladly" in data.tokenizer.decode(pair_of[0])
            assert "No, not" in data.tokenizer.decode(pair_of[1])


def test_preferences_are_trained_on_through_the_front_door(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "few.jsonl", [preference(number) for number in range(40)])
    made = tw.train(path, task="preference", budget="20 steps", settings=TINY, run=tmp_path / "run")
    assert made.metrics["test"]["loss"] < np.log(2)  # what it was before the first step


# What is read as text.


def test_text_is_text_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    lines = "".join(f"line {number}, with a comma\n" for number in range(300))
    (tmp_path / "long.txt").write_text(lines)
    with gzip.open(tmp_path / "packed.txt.gz", "wt") as stream:
        stream.write(lines)
    named = [
        str(tmp_path / "long.txt"),
        str(tmp_path / "lon*.txt"),
        str(tmp_path / "packed.txt.gz"),
        str(tmp_path / "*.txt*"),
        "~/long.txt",
        (tmp_path / "long.txt").as_uri(),
    ]
    for name in named:
        table = prepared(name).table
        assert set(table.column("text").to_list()) == {lines}, name


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_an_archive_of_texts_is_its_texts(kind: str, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "in" / f"{number}").mkdir(parents=True)
        (tmp_path / "in" / f"{number}" / "a.txt").write_text(f"{number} and so on\n" * 100)
    archive = shutil.make_archive(str(tmp_path / "texts"), kind, tmp_path / "in")
    data = prepared(archive)
    assert data.table.column("file").to_list() == [f"{number}/a.txt" for number in range(3)]
    assert data.table.column("text")[2].startswith("2 and so on")
    assert data.form == "text" and len(data.indices["training"]) > 0


def test_a_recipe_names_a_tokenizer_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text_checkpoints.checkpoint(tmp_path / "home" / "mine")
    (tmp_path / "home" / "a.txt").write_text("some lines of text\n" * 100)
    (tmp_path / "home" / "recipe.yaml").write_text(
        "data: a.txt\ntask: causal-lm\nlanguage:\n  tokenizer: mine\n"
    )
    monkeypatch.chdir(tmp_path)
    recipe, frame, base = ask_recipe(str(tmp_path / "home" / "recipe.yaml"), target=None)
    data = prepare_language(placed(recipe, base), frame, base=base)
    assert data.recipe.language.tokenizer == str(tmp_path / "home" / "mine")
    assert not data.trained_tokenizer
    known = load_language_tokenizer(str(tmp_path / "home" / "mine"))
    assert data.tokenizer.hash_key == known.hash_key


def test_texts_and_tables_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text\n")
    write_rows(tmp_path / "a.jsonl", [{"text": "x"}])
    with pytest.raises(DataError, match="texts and tables cannot be read together"):
        prepared(str(tmp_path / "a.*"))
    with pytest.raises(DataError, match="texts and tables cannot be read together"):
        prepared(str(tmp_path / "a.jsonl"), **{"data.test": str(tmp_path / "a.txt")})


@pytest.mark.parametrize(
    ("names", "are_texts"),
    [
        (["train.json", "README.md"], False),
        (["train.tsv", "README.md", "LICENSE.txt", "notes.md"], False),
        (["train.jsonl.gz", "notes.md"], False),
        (["a.txt", "b.txt", "labels.xlsx"], True),
        (["README.md"], True),
        (["a.txt", ".git/x.json", ".git/y.json"], True),
        (["photo.png"], False),
    ],
)
def test_what_a_folder_holds_is_told_by_its_files(names: list[str], are_texts: bool, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    found = as_text(DataSettings(path=str(tmp_path)), tmp_path)
    assert (found.format == "text") is are_texts


def test_several_paths_are_paths(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"{name} text\n" * 100)
    data = prepared([tmp_path / "a.txt", tmp_path / "b.txt"])
    assert data.table.num_rows == 2


def test_a_prepared_corpus_is_its_shards(tmp_path: Path) -> None:
    prose = "The miller's daughter went down to the river, and she said nothing of what she saw there. "
    rows = [{"text": f"Day {number} of the story. {prose * 3}"} for number in range(80)]
    path = write_rows(tmp_path / "a.jsonl", rows)
    out = tmp_path / "corpus"
    tw.prepare(path, out, quality="off", settings={"near_duplicates": "off"}, workers=1, quiet=True)
    data = prepared(str(out))
    assert data.table.num_rows == len(pl.read_parquet(out / "part-*.parquet"))
    (out / "manifest.json").unlink()
    (out / ".work").mkdir()
    (out / ".work" / "plan.json").write_text("{}")
    with pytest.raises(DataError, match="this corpus is not finished; run trainwright prepare again"):
        prepared(str(out))


# Tokenised once.


def refuse(*rest: Any, **words: Any) -> Any:
    raise AssertionError("the data was looked at again")


def test_a_second_run_reads_no_row_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"text": f"text {number} of some"} for number in range(100)]
    path = write_rows(tmp_path / "a.jsonl", rows)
    first = prepared(path, **{"language.vocabulary": None})
    assert not first.cached
    monkeypatch.setattr(language_data, "read_samples", refuse)
    again = prepared(path, **{"language.vocabulary": None})
    assert again.cached
    assert np.array_equal(first.tokens.ids, again.tokens.ids)
    assert first.tokenizer.hash_key == again.tokenizer.hash_key


def test_another_content_tokenizer_or_template_is_tokenised_anew(tmp_path: Path) -> None:
    rows = [chat(number) for number in range(60)]
    path = write_rows(tmp_path / "a.jsonl", rows)
    plain = "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>"
    plain += "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}"
    (tmp_path / "template.jinja").write_text(plain)
    assert not prepared(path, "chat").cached
    assert prepared(path, "chat").cached
    assert not prepared(path, "chat", **{"language.template": str(tmp_path / "template.jinja")}).cached
    assert not prepared(path, "chat", **{"language.tokenizer": "unigram"}).cached
    assert not prepared(path, "chat", **{"language.vocabulary": 300}).cached
    assert prepared(path, "chat").cached
    assert not prepared(write_rows(tmp_path / "a.jsonl", [*rows[:-1], chat(99)]), "chat").cached


class Killed(BaseException):
    """Stands for a signal that no code can answer."""


@pytest.mark.parametrize("task", ["causal-lm", "chat"])
@pytest.mark.parametrize("after", [1, 2, 5])
def test_tokenising_that_is_killed_goes_on_to_the_same_tokens(
    task: str, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language_data, "_ROWS", 9)
    monkeypatch.setattr(token_store, "_COMMIT_TOKENS", 100)
    path = write_rows(
        tmp_path / "a.jsonl",
        [chat(number) if number % 20 else {"prompt": "", "completion": ""} for number in range(100)],
    )
    settings = {"data.quarantine_limit": 0.2}
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "whole"))
    whole = prepared(path, task, **settings)
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "killed"))
    real, calls = language_data.tokenized, []

    def dying(samples: Any, rows: Any, *rest: Any, **words: Any) -> Any:
        if len(calls) == after:
            raise Killed
        calls.append(rows)
        return real(samples, rows, *rest, **words)

    monkeypatch.setattr(language_data, "tokenized", dying)
    with pytest.raises(Killed):
        prepared(path, task, **settings)
    after = -1  # from here on it lives
    done = [row for rows in calls for row in rows]
    data = prepared(path, task, **settings)
    again = [row for rows in calls for row in rows][len(done) :]
    assert min(again) > min(done)
    for name in ("ids", "offsets", "rows", "sizes", "characters"):
        assert np.array_equal(getattr(data.tokens, name), getattr(whole.tokens, name))
    if task == "chat":
        assert np.array_equal(data.tokens.trained, whole.tokens.trained)
    assert data.tokens.broken == whole.tokens.broken
    assert all(np.array_equal(data.indices[part], whole.indices[part]) for part in data.indices)


@pytest.mark.parametrize("name", ["ids.bin", "lengths.bin", "tokens.json"])
def test_a_damaged_cache_is_made_anew(name: str, tmp_path: Path, empty_cache: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"text": f"text {number}"} for number in range(100)])
    whole = prepared(path)
    (file,) = (empty_cache / "tokens").glob(f"*/{name}")
    file.write_bytes(file.read_bytes()[:7])
    data = prepared(path)
    assert not data.cached
    assert np.array_equal(data.tokens.ids, whole.tokens.ids)


def _prepare(path: str, results: Any) -> None:
    results.put(np.asarray(prepared(path).tokens.ids).tolist())


def test_two_runs_on_one_cache_have_the_same_tokens(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"text": f"text {number} " * 9} for number in range(300)])
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    children = [context.Process(target=_prepare, args=(path, results)) for _ in range(2)]
    for child in children:
        child.start()
    found = [results.get(timeout=60) for _ in children]
    for child in children:
        child.join()
    assert found[0] == found[1] == np.asarray(prepared(path).tokens.ids).tolist()


# What a context leaves.


def test_chats_that_end_behind_the_context_are_refused(tmp_path: Path) -> None:
    rows = [{"prompt": "Why? " * 60, "completion": f"Because {number}."} for number in range(60)]
    path = write_rows(tmp_path / "long.jsonl", rows)
    why = "of no sample for training does what it teaches lie within 32 tokens; set language.context to"
    with pytest.raises(DataError, match=why):
        tw.train(path, task="chat", settings=TINY | {"language.context": 32}, run=tmp_path / "run")


def test_answers_that_never_end_within_the_context_are_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "long.jsonl", [chat(number, words=60) for number in range(60)])
    data = prepared(path, "chat")
    with pytest.raises(DataError, match="no answer ends within 32 tokens: the model would never learn to"):
        fit(data, 32, "truncate")
    fit(data, 32, "split")  # nothing is lost there


def test_what_the_context_leaves_is_learned_and_counted(tmp_path: Path) -> None:
    rows = [chat(number) for number in range(100)]
    rows += [{"prompt": f"{number}? " * 100, "completion": "Yes."} for number in range(40)]
    rows += [chat(number, words=100) for number in range(20)]
    data = prepared(write_rows(tmp_path / "mixed.jsonl", rows), "chat")
    before = {part: len(index) for part, index in data.indices.items()}
    fit(data, 64, "truncate")
    kept = np.concatenate(list(data.indices.values()))
    assert sorted(data.tokens.rows[kept].tolist()) == [*range(100), *range(140, 160)]
    assert sum(before.values()) == 160
    assert data.notes[-3:] == [
        "60 of 160 samples have more than 64 tokens: cut off there.",
        "40 of 160 samples are left out: nothing of what they teach lies within 64 tokens.",
        "In 20 of 120 samples no answer ends within 64 tokens.",
    ]
    assert data.tokens.trained is not None
    for sample in kept.tolist():
        first = int(data.tokens.offsets[sample])
        until = min(first + 65, int(data.tokens.offsets[sample + 1]))
        assert data.tokens.trained[first + 1 : until].any()


def test_pairs_that_are_the_same_within_the_context_are_left_out(tmp_path: Path) -> None:
    rows = [preference(number) for number in range(60)]
    long = "word " * 100
    rows += [{"prompt": "x", "chosen": f"{long}a {n}", "rejected": f"{long}b {n}"} for n in range(20)]
    data = prepared(write_rows(tmp_path / "pairs.jsonl", rows), "preference")
    fit(data, 64, "truncate")
    kept = np.concatenate(list(data.indices.values()))
    assert sorted(data.tokens.rows[kept // 2].tolist()) == [*range(60)]
    assert data.notes[-2:] == [
        "20 of 80 samples have more than 64 tokens: cut off there.",
        "20 of 80 samples are left out: nothing of what they teach lies within 64 tokens.",
    ]
    with pytest.raises(RecipeError, match="two answers can only be compared whole"):
        fit(data, 64, "split")


@pytest.mark.parametrize(("task", "longer"), [("causal-lm", 0), ("masked-lm", 100)])
def test_a_text_of_one_token_more_is_longer_for_a_masked_model_alone(
    task: str, longer: int, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"text": "some text"}] * 100)
    data = prepared(path, task)
    (length,) = set(data.tokens.lengths.tolist())
    fit(data, length - 1, "split")
    notes = [note for note in data.notes if "tokens: split" in note]
    assert notes == ([f"100 of 100 samples have more than {length - 1} tokens: split."] if longer else [])


# What has no effect.


def test_settings_without_effect_are_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"text": f"text {number}"} for number in range(100)])
    first = prepared(path)
    (tmp_path / "tokenizer").mkdir()
    first.tokenizer.save(tmp_path / "tokenizer")
    with pytest.raises(RecipeError, match=r"language\.vocabulary is for tokenizers that are trained"):
        prepared(path, **{"language.tokenizer": str(tmp_path / "tokenizer")})
    with pytest.raises(DataError, match="WordPiece does not give back line ends"):
        prepared(path, **{"language.tokenizer": "wordpiece"})


# What it says of itself.


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("Han", "白日依山盡黃河入海流"),
        ("Kana", "いろはにほへとちりぬるを"),
        ("Cyrillic", "широкая река течёт к морю"),
        ("Arabic", "النهر يجري إلى البحر"),
        ("Devanagari", "नदी समुद्र की ओर बहती है"),
        ("Hangul", "강은 바다로 흐른다"),
        ("Greek", "ο ποταμός κυλά προς τη θάλασσα"),
        ("Thai", "แม่น้ำไหลลงสู่ทะเล"),
        ("other", "მდინარე მიედინება ზღვისკენ"),
        ("other", "🌊🌊🌊🏞️🏞️🏞️"),
    ],
)
def test_how_much_fits_into_a_context_is_told_by_script(script: str, text: str, tmp_path: Path) -> None:
    rows = [{"text": f"{text} {number}"} for number in range(60)]
    data = prepared(write_rows(tmp_path / "a.jsonl", rows))
    (found,) = language_data.fertility(data)
    assert found["script"] == script
    assert found["characters_per_token"] > 1  # bytes alone would give a third or half


def test_texts_are_looked_at_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"text": f"text {number} of some"} for number in range(100)]
    data = prepared(write_rows(tmp_path / "a.jsonl", rows))
    (found,) = language_data.fertility(data)
    monkeypatch.setattr(language_data, "_CHUNK_BYTES", 1)
    taken: list[int] = []
    take = type(data.table).take

    def counted(table: Any, chosen: Any, columns: Any) -> Any:
        taken.append(len(chosen))
        return take(table, chosen, columns)

    monkeypatch.setattr(type(data.table), "take", counted)
    assert language_data.fertility(data) == [found]
    assert taken[0] <= 64 and set(taken[1:]) == {1}  # first a few, to see how long they are


def texts_shown(data: LanguageData) -> tuple[str, str]:
    """Return the first sample as it is shown, and what of it is learned."""
    sample = language_data.shown(data)[0]
    return "".join(each["text"] for each in sample), "".join(
        each["text"] for each in sample if each["trained"]
    )


def test_what_is_shown_is_what_is_learned(tmp_path: Path) -> None:
    long = "Be kind and brief, and say what you know. " * 60
    rows = [chat(number) | {"system": long} for number in range(60)]
    data = prepared(write_rows(tmp_path / "chats.jsonl", rows), "chat")
    whole, learned = texts_shown(data)
    answer = rows[int(data.tokens.rows[data.indices["training"][0]])]["completion"]
    assert learned == f"{answer}<|im_end|>"
    assert whole.startswith("… ") and len(whole) < len(long)
    path = write_rows(tmp_path / "texts.jsonl", [{"text": f"text {number} " * 200} for number in range(60)])
    whole, learned = texts_shown(prepared(path))
    assert whole == f"{learned} …"
    whole, learned = texts_shown(prepared(path, "masked-lm"))
    assert "text" in whole and not learned


@pytest.mark.parametrize("task", ["chat", "causal-lm", "masked-lm"])
def test_the_terminal_shows_what_is_learned_in_green(task: str, tmp_path: Path) -> None:
    data = prepared(write_rows(tmp_path / "chats.jsonl", [chat(number) for number in range(60)]), task)
    console = Console(
        width=100_000, record=True, file=io.StringIO(), color_system="standard", force_terminal=True
    )
    console.print(language_summary(describe_language(data)))
    (line,) = [line for line in console.export_text(styles=True).splitlines() if "A sample; " in line]
    green = "".join(re.findall(r"\x1b\[32m(.*?)\x1b\[0m", line))
    _, learned = texts_shown(data)
    assert green.replace(" ", "") == re.sub(r"\s", "", learned)
    assert bool(green) is ("the model learns what is green" in line) is (task != "masked-lm")


# What conversations lose.


def test_what_of_conversations_is_not_learned_is_counted(tmp_path: Path) -> None:
    asked, said = {"role": "user", "content": "What?"}, {"role": "assistant", "content": "So it is."}
    weightless = [asked, {"role": "assistant", "content": "Wrong.", "weight": 0}, asked, said]
    rows = [{"messages": [asked, said]}] * 30 + [{"messages": weightless}] * 20
    rows += [{"messages": [asked, said, asked]}] * 10
    data = prepared(write_rows(tmp_path / "chats.jsonl", rows), "chat")
    assert not data.quarantined
    assert {
        "Turns of the assistant with weight 0, which are read and not learned: 20.",
        "Conversations that end with what nobody answers, which is left out: 10.",
    } <= set(data.notes)
    assert data.tokens.trained is not None
    learned = data.tokenizer.decode(data.tokens.ids[data.tokens.trained > 0])
    assert (learned.count("So it is."), learned.count("Wrong.")) == (60, 0)
    assert data.tokenizer.decode(data.tokens.ids).count("Wrong.") == 20
    # As texts all of them are learned; what nobody answers is left out of those that are cut, too.
    for number in (60, 40):
        notes = prepared(write_rows(tmp_path / "few.jsonl", rows[-number:])).notes
        assert [note for note in notes if "read and not learned" in note] == []
        assert "Conversations that end with what nobody answers, which is left out: 10." in notes


def test_an_end_is_looked_for_in_all_that_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_data, "_TOKENS_AT_ONCE", 3)
    turn = "{% generation %}{{ m.content }}{% endgeneration %}"
    for end, fits in (("<|im_end|>", True), ("", False)):
        last = f"{{% if m.content == 'end' %}}{{% generation %}}{end}{{% endgeneration %}}{{% endif %}}"
        (tmp_path / "own.jinja").write_text(f"{{% for m in messages %}}{turn}{last}{{% endfor %}}")
        rows = [chat(number) for number in range(60)] + [{"prompt": "x", "completion": "end"}]
        path, template = write_rows(tmp_path / "a.jsonl", rows), str(tmp_path / "own.jinja")
        if fits:
            prepared(path, "chat", **{"language.template": template})
        else:
            with pytest.raises(DataError, match="never learn to stop"):
                prepared(path, "chat", **{"language.template": template})


def test_targets_that_never_end_within_the_context_are_refused(tmp_path: Path) -> None:
    rows = [{"source": f"one {number}", "target": "eins " * 100} for number in range(50)]
    rows += [pair(number) for number in range(10)]
    for some, fits in ((rows, True), (rows[:50], False)):
        path = write_rows(tmp_path / "pairs.jsonl", some)
        recipe, frame, base = ask_recipe(path, target=None, task="sequence-to-sequence", settings=SMALL)
        data = prepare_language(recipe, frame, base=base, encodes=True)
        reading = Reading(context=32, long="truncate", seed=0, vocabulary=data.tokenizer.vocabulary)
        task = LANGUAGE_TASKS["encoder-decoder"](data.tokens, reading)
        if fits:
            fit_to_context(data, task)
            assert data.notes[-1] == "In 50 of 60 samples no answer ends within 32 tokens."
        else:
            with pytest.raises(
                DataError, match=r"no answer ends within 32 tokens.*set language.context to \d+"
            ):
                fit_to_context(data, task)
