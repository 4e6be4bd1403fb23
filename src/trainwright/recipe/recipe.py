"""The recipe: what the user asked for, as frozen settings whose defaults explain themselves.

A field that is `None` or "auto" is chosen from the data when the run is prepared; the resolved recipe in
the run folder holds what was chosen, so that running it again gives the same weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, model_serializer, model_validator

from trainwright.recipe.budget import Budget
from trainwright.recipe.shorthand import Shorthand

Size = Literal["tiny", "small", "base", "large"]
LanguageTask = Literal["causal-lm", "masked-lm", "chat", "sequence-to-sequence", "preference"]
Sliver = Literal["full", "lora", "dora", "rslora", "ia3", "prompt", "prefix", "adapter"]
Text = Annotated[str, Field(min_length=1)]
# YAML and Python callers give lists; settings are frozen, so tuples are kept.
Texts = Annotated[tuple[Text, ...], Strict(False)]


class Misfit(ValueError):  # noqa: N818 (it becomes a RecipeError with a position)
    """Two settings that contradict each other, found by a section's validator.

    Args:
        path: keys from the section to the setting that should change.
        what: what is wrong, without a full stop.
        fix: what to do about it, as an imperative clause.
    """

    def __init__(self, path: Iterable[str], what: str, *, fix: str) -> None:
        super().__init__(f"{what}; {fix}")
        self.path, self.what, self.fix = tuple(path), what, fix


class Settings(BaseModel):
    """A frozen section of the recipe; unknown keys and values of another type are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DataSettings(Settings):
    """Where the rows come from. Most recipes give only the path: `data: reviews.csv`."""

    path: Text | Annotated[Texts, Field(min_length=1)] = Field(
        description="File, folder, glob, archive, database URL or fsspec URL; several paths are read in turn."
    )
    format: str = Field(
        default="auto",
        description="csv, jsonl, parquet, arrow, excel, npz, sql, folder, hub or text; told by name and "
        "content.",
    )
    query: str | None = Field(default=None, description="SQL query, for a database URL.")
    delimiter: str | None = Field(default=None, description="CSV delimiter; sniffed from the first lines.")
    encoding: str | None = Field(
        default=None, description="Text encoding; UTF-8 is tried first, then GB18030, then cp1252."
    )
    sheet: str | None = Field(default=None, description="Excel sheet; the first one.")
    validation: str | None = Field(default=None, description="A file of its own for validation rows.")
    test: str | None = Field(default=None, description="A file of its own for test rows.")
    quarantine_limit: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of rows that may be set aside before the run stops: more means a broken source.",
    )


class FeatureSettings(BaseModel):
    """One column: its feature type and that type's own options. `title: text` is short for `{type: text}`."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    type: Text = Field(default="auto", description="Feature type; inferred from the values.")

    @property
    def options(self) -> dict[str, Any]:
        """The options that belong to the feature type, not yet checked."""
        return dict(self.model_extra or {})

    @model_serializer(mode="plain")
    def _short(self) -> Any:
        return {"type": self.type, **self.options} if self.options else self.type


class EncoderSettings(BaseModel):
    """One encoder: its name and its own options. `body: cnn` is short for `{name: cnn}`."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    name: Text = Field(default="auto", description="Encoder; the default of the input's kind.")

    @property
    def options(self) -> dict[str, Any]:
        """The options that belong to the encoder, not yet checked."""
        return dict(self.model_extra or {})

    @model_serializer(mode="plain")
    def _short(self) -> Any:
        return {"name": self.name, **self.options} if self.options else self.name


Features = Annotated[dict[str, Annotated[FeatureSettings, Shorthand("type")]], Shorthand()]
Encoders = Annotated[dict[str, Annotated[EncoderSettings, Shorthand("name")]], Shorthand()]


ROW_SHARES = (0.16, 0.2)
"""Validation and test of a table, where the recipe does not say."""


class SplitSettings(Settings):
    """How rows are shared out between training, validation and test."""

    method: Literal["auto", "random", "stratified", "group", "time", "column", "given"] = Field(
        default="auto",
        description="How rows are drawn; auto: given files, folders or a column called 'split' if there are "
        "any, else stratified for classes, else random.",
    )
    column: str | None = Field(
        default=None,
        description="Column of the groups, the times, or the words train, validation and test.",
    )
    validation: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Share of all rows for validation; 0.16, a fifth of what the test leaves, and 0.05 of "
        "texts.",
    )
    test: float | None = Field(
        default=None, ge=0, lt=1, description="Share of all rows for the test; 0.2, and 0.05 of texts."
    )

    @model_validator(mode="after")
    def _agree(self) -> SplitSettings:
        validation, test = self.shares()
        if validation + test >= 1:
            raise Misfit(
                ["validation" if self.validation is not None else "test"],
                f"validation ({validation:g}) and test ({test:g}) leave no rows to train on",
                fix="let them add up to less than 1",
            )
        if self.method in {"group", "time"} and self.column is None:
            raise Misfit(
                ["method"],
                f"a split by {self.method} needs the column to split by",
                fix="add split.column",
            )
        return self

    def shares(self, default: tuple[float, float] = ROW_SHARES) -> tuple[float, float]:
        """Return the shares of validation and test, those that are not set from `default`."""
        return (
            default[0] if self.validation is None else self.validation,
            default[1] if self.test is None else self.test,
        )


class ModelSettings(Settings):
    """The model. `size` is the one dial; everything under it can be set too."""

    size: Size | None = Field(
        default=None,
        description="The one dial: widths and depths of every part follow from it. A language model's is "
        "chosen by time and data, all others are small.",
    )
    name: Text = Field(
        default="auto",
        description="Encoder family for the inputs that have one of this name (tabm, resnet, transformer, "
        "pretrained); of a language model gpt, bert or pretrained.",
    )
    checkpoint: str | None = Field(
        default=None,
        description="Hugging Face name or local folder, for name: pretrained; of a language model also a "
        "GGUF file.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of a language model's family: depth, width, heads, …"
    )
    encoders: Encoders = Field(
        default_factory=dict,
        description="Encoder of one input (or of 'table', the columns taken together), by name or with "
        "options.",
    )
    fusion: Text = Field(
        default="auto", description="How several inputs become one: concat, gated or attention."
    )
    dropout: float | None = Field(
        default=None, ge=0, lt=1, description="Share of activations dropped in training; chosen by encoder."
    )
    modality_dropout: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Chance that a whole input is hidden from the model in a training row, so that it copes "
        "with missing ones; only with several inputs.",
    )

    @property
    def size_(self) -> Size:
        """The size, small where the recipe does not say."""
        return self.size or "small"


class TrainingSettings(Settings):
    """The loop."""

    budget: Budget | None = Field(
        default=None,
        description="When to stop: 20m, 10 epochs, 5_000 steps or, for a language model, 2e9 tokens; chosen "
        "by the data, and at most 8 minutes.",
    )
    batch: int | None = Field(default=None, ge=1, description="Rows a step; chosen by the number of rows.")
    batch_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Tokens a step, padding counted, for inputs of different lengths; chosen by `batch`. A "
        "language model counts its steps in tokens alone.",
    )
    optimizer: Literal["auto", "adamw", "adam", "sgd", "rmsprop", "muon"] = Field(
        default="auto",
        description="Update rule. auto: AdamW (Loshchilov & Hutter 2019), and for language models from "
        "random weights muon: Muon for hidden matrices (Jordan et al. 2024), AdamW for the rest.",
    )
    learning_rate: float | None = Field(
        default=None, gt=0, description="Peak step size; chosen by the model."
    )
    weight_decay: float | None = Field(
        default=None, ge=0, description="L2 pull of weight matrices towards 0; chosen by the model."
    )
    l1: float = Field(
        default=0.0, ge=0, description="L1 pull of weight matrices towards 0, added to the loss."
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Momentum of sgd, rmsprop and muon.")
    schedule: Literal["auto", "cosine", "constant", "step", "plateau"] = Field(
        default="auto", description="How the learning rate moves after warm-up; chosen by the model."
    )
    warmup: float = Field(
        default=0.05, ge=0, lt=1, description="Share of the steps over which the learning rate rises from 0."
    )
    clip: float = Field(default=1.0, ge=0, description="Largest norm of the gradient; 0 does not clip.")
    accumulation: int = Field(
        default=1, ge=1, description="Micro-batches a step; the loss does not depend on it."
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the target spread over all classes (Szegedy et al. 2016).",
    )
    class_weights: Literal["none", "balanced"] | dict[str, Annotated[float, Field(ge=0)]] = Field(
        default="none",
        description="Weight of a class in the loss; balanced: by the inverse of its frequency.",
    )
    sampling: Literal["all", "balanced"] = Field(
        default="all", description="all: every row once an epoch; balanced: classes equally often."
    )
    mixup: float = Field(
        default=0.0, ge=0, description="Beta parameter of mixup for images (Zhang et al. 2018); 0 is off."
    )
    cutmix: float = Field(
        default=0.0, ge=0, description="Beta parameter of CutMix for images (Yun et al. 2019); 0 is off."
    )
    ema: float = Field(
        default=0.0, ge=0, lt=1, description="Decay of a moving average of the weights; 0 is off."
    )
    early_stopping: int | None = Field(
        default=None,
        ge=0,
        description="Evaluations without progress before stopping; 0 never stops; chosen by the model.",
    )
    devices: int = Field(
        default=1,
        ge=1,
        description="Processes on this machine that train together, one for each GPU or each share of the "
        "cores; a step learns from the same rows whatever their number.",
    )
    sharding: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Share weights, gradients and optimiser state out among the processes (FSDP2); auto: "
        "where one of them has no room for all of it.",
    )
    device: Text = Field(default="auto", description="auto, cpu, cuda, cuda:1 or mps.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Arithmetic of the model in training; bfloat16 on CUDA, and for transformers on CPUs "
        "where it is measured to be faster; else float32.",
    )
    compile: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Compile the blocks that a model repeats (torch.compile); auto: where timing a few steps "
        "says that it pays within the run, which is tried on long runs alone.",
    )
    graphs: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Record micro-batches as CUDA graphs, so that small models do not wait for the host; "
        "auto: on NVIDIA GPUs where all rows have the same shape.",
    )
    checkpoint_minutes: float = Field(
        default=2.0,
        gt=0,
        description="Minutes between checkpoints; one is also written when the run is stopped.",
    )


class LanguageSettings(Settings):
    """What a language model reads: where `task` is set, else without effect."""

    format: Literal["auto", "text", "prompt", "alpaca", "sharegpt", "messages", "preference", "pairs"] = (
        Field(
            default="auto",
            description="text, prompt (prompt, completion), alpaca (instruction, input, output), sharegpt "
            "(conversations), messages, preference (chosen, rejected) or pairs (source, target); told by the "
            "columns.",
        )
    )
    columns: dict[str, Text] = Field(
        default_factory=dict,
        description="Column of the data for a name of the format, where it has another: {text: body}.",
    )
    tokenizer: Text = Field(
        default="auto",
        description="bpe, wordpiece or unigram, trained on the data; or the name or folder of a checkpoint "
        "whose tokenizer is taken. auto: the checkpoint's own, else bpe, and for masked-lm wordpiece.",
    )
    vocabulary: int | None = Field(
        default=None,
        ge=2,
        le=1_000_000,
        description="Tokens of a tokenizer that is trained; chosen by the amount of text.",
    )
    context: int | None = Field(
        default=None, ge=2, description="Most tokens of a training sample; chosen by model and data."
    )
    long: Literal["auto", "split", "truncate"] = Field(
        default="auto",
        description="What becomes of longer samples; auto splits texts and truncates conversations.",
    )
    template: Text = Field(
        default="auto",
        description="Chat template: chatml, or a file with a Jinja template; auto takes the tokenizer's own, "
        "else chatml, or lines of 'User: …' where the tokenizer lacks chatml's tokens.",
    )
    mask: float = Field(
        default=0.15, gt=0, lt=1, description="Share of the tokens that masked-lm hides (Devlin et al. 2019)."
    )
    beta: float = Field(
        default=0.1,
        gt=0,
        description="How strongly preference training is held to the model it starts from (Rafailov et al. "
        "2023).",
    )


class TuningSettings(Settings):
    """Which part of a pretrained language model learns. `tuning: lora` is short for `{method: lora}`."""

    method: Sliver = Field(
        default="full",
        description="full; lora, dora, rslora, ia3, prompt, prefix (peft); adapter (Houlsby et al. 2019).",
    )
    targets: Text | Annotated[Texts, Field(min_length=1)] = Field(
        default="auto",
        description="Layers that get a sliver: attention, mlp, all (every linear layer), or names; auto: "
        "all, for ia3 keys, values and the perceptron's output.",
    )
    rank: int = Field(default=16, ge=1, description="Rank of LoRA's matrices, or width of an adapter.")
    alpha: float | None = Field(
        default=None, gt=0, description="LoRA's scale is alpha / rank; twice the rank."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout before LoRA's matrices.")
    tokens: int = Field(default=16, ge=1, description="Virtual tokens of prompt and prefix.")
    base: Literal["float32", "bfloat16", "8bit", "4bit"] = Field(
        default="float32",
        description="How the base is held while it does not learn; 8bit and 4bit need a GPU and "
        "trainwright[quantized].",
    )


class EvaluationSettings(Settings):
    """How the result is judged."""

    metric: str | None = Field(
        default=None, description="The metric that names the best model; chosen by the task."
    )
    baselines: bool = Field(
        default=True,
        description="Train simple models on the same split, in a tenth of the time, to compare with.",
    )
    bootstrap: int = Field(
        default=1000,
        ge=0,
        le=100_000,
        description="Resamples of the test rows for the intervals; 0 makes none.",
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="Confidence of every interval of a metric."
    )
    coverage: float = Field(
        default=0.9, gt=0.5, lt=1, description="Share of rows that a regression interval shall contain."
    )
    threshold: str | None = Field(
        default=None,
        description="Metric whose best threshold on validation turns probabilities into yes or no; 0.5 "
        "without.",
    )
    slices: Texts = Field(
        default=(),
        description="Columns whose values get a line each in the report; chosen among the categories.",
    )
    prompts: Texts = Field(
        default=(),
        description="What a language model is asked to go on with at every evaluation; taken from the data.",
    )
    sample_tokens: int = Field(default=64, ge=0, description="Most tokens of such a sample; 0 makes none.")


class Recipe(Settings):
    """Everything a run is made from.

    Only `data` and `targets` (or, for a language model, `task`) are needed: inputs default to every other
    column, with inferred types.
    """

    data: Annotated[DataSettings, Shorthand("path", many=True)] = Field(
        description="Where the rows come from."
    )
    inputs: Features = Field(
        default_factory=dict,
        description="Input columns and their feature types; every column but the targets.",
    )
    targets: Features = Field(
        default_factory=dict, description="Columns to predict; their type decides the task."
    )
    task: LanguageTask | None = Field(
        default=None,
        description="What a language model learns, where there are no targets: causal-lm, masked-lm, chat, "
        "sequence-to-sequence or preference.",
    )
    split: Annotated[SplitSettings, Shorthand()] = Field(
        default_factory=SplitSettings, description="Training, validation and test rows."
    )
    model: Annotated[ModelSettings, Shorthand()] = Field(
        default_factory=ModelSettings, description="The model."
    )
    language: Annotated[LanguageSettings, Shorthand()] = Field(
        default_factory=LanguageSettings, description="What a language model reads."
    )
    tuning: Annotated[TuningSettings, Shorthand("method")] = Field(
        default_factory=TuningSettings, description="Which part of a pretrained language model learns."
    )
    training: Annotated[TrainingSettings, Shorthand()] = Field(
        default_factory=TrainingSettings, description="The loop."
    )
    evaluation: Annotated[EvaluationSettings, Shorthand()] = Field(
        default_factory=EvaluationSettings, description="How the result is judged."
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="Every random draw of the run comes from it.")

    @model_validator(mode="after")
    def _agree(self) -> Recipe:
        if self.task is not None and self.targets:
            raise Misfit(
                ["task"],
                f"a recipe has targets or a task, and this has both ({', '.join(self.targets)}; {self.task})",
                fix="leave one of them out",
            )
        if self.task is None and not self.targets:
            if "targets" in self.model_fields_set:
                what, fix = "targets is empty", "give a mapping of names to their settings"
                raise Misfit(["targets"], what, fix=f"{fix}, or set task for a language model")
            raise Misfit(
                [],
                "targets is missing",
                fix="add it: columns to predict; or set task for a language model",
            )
        for name in self.inputs:
            if name in self.targets:
                raise Misfit(
                    ["inputs", name],
                    f"the target '{name}' is also an input, and would be predicted from itself",
                    fix="leave it out of inputs",
                )
        return self
