"""Sentences that lower layers write into a run's documents, as templates that can be translated.

The layers below write English; this list lets the page say the same in the reader's language. A sentence
that none of these fits is shown in English; of several that fit, the one with the most words of its own is
taken.
"""

from __future__ import annotations

from trainwright.reporting.language import mark

PHRASES: tuple[str, ...] = (
    # Why a column has its type (data.inference).
    mark("no value in {rows} rows"),
    mark("stored as true and false"),
    mark("stored as dates"),
    mark("the same as two names"),
    mark("values of the type {type} cannot be used"),
    mark("only '{value}', but {share} are missing: whether it is there may tell"),
    mark("if that says nothing"),
    mark("every value is '{value}'"),
    mark("{why}, but it was asked for"),
    mark("{share} of the values end like image files"),
    mark("{share} of the values end like audio files"),
    mark("{found} of {looked} looked for are there"),
    mark("{shape} bytes in every row"),
    mark("bytes that begin as {kind} files do"),
    mark("{shape} numbers in every row: steps of several numbers"),
    mark("{shape} numbers in every row"),
    mark("{shape} numbers in every cell"),
    mark("if they are steps of several numbers"),
    mark("if they are steps in time"),
    mark("lists of {length} labels"),
    mark("lists of {length} steps of several numbers"),
    mark("lists of {length} numbers in a cell"),
    mark("lists of {length} numbers"),
    mark("numbers in all of {count} values, {some} written like {examples}"),
    mark("numbers in all of {count} values"),
    mark("numbers in {share} % of {count} values, {some} written like {examples}"),
    mark("numbers in {share} % of {count} values"),
    mark("{count} stray such as {examples}"),
    mark("{count} strays such as {examples}"),
    mark("{count} others such as {examples}"),
    mark("whole numbers that count the rows: nothing that holds for new rows"),
    mark(
        "a different whole number in nearly every row, under the name of an id: nothing that holds"
        " for new rows"
    ),
    mark("a different code in nearly every row: nothing that holds for new rows"),
    mark(
        "whole numbers under the name of a code or an id, {unique} different ones in {rows} rows:"
        " nothing that holds for new rows"
    ),
    mark(
        "text under the name of an id, {unique} different ones in {rows} rows: nothing that holds"
        " for new rows"
    ),
    mark("whole numbers under the name of a code or an id: names of {unique} different things"),
    mark("text under the name of an id: names of {unique} different things"),
    mark("whole numbers"),
    mark("codes of things that come again"),
    mark("codes"),
    mark("days written as yyyymmdd"),
    mark("only 0 and 1"),
    mark("0 and 1 as amounts"),
    mark("only two different numbers, {first} and {second}"),
    mark("if they are amounts"),
    mark("{count} different whole ones, {low} to {high}, taken as amounts"),
    mark("{count} different ones, {low} to {high}, taken as amounts"),
    mark("if they are codes without an order"),
    mark("if they are codes of classes"),
    mark("a different value in nearly every row, so there is no class to learn"),
    mark("if their distances count: amounts in between are predicted as well"),
    mark("if their order counts, as with ratings: a near miss costs less than a far one"),
    mark("two different numbers, {first} and {second}, taken as classes"),
    mark("{count} different whole numbers, {low} to {high}, taken as classes"),
    mark("{count} different whole numbers, {low} to {high}, under the name of classes"),
    mark("only '{first}' and '{second}'"),
    mark("dates from {first} to {last}"),
    mark("if they are mere names"),
    mark("labels between '{separator}': {count} different ones, {each} a row"),
    mark("each combination as one class"),
    mark("as words"),
    mark("about {words} words each, {unique} different ones in {rows} rows: too many to be classes"),
    mark("about {words} words each, {unique} different ones in {rows} rows"),
    mark("if equal values matter more than their words"),
    mark("a different word in nearly every row, {length} characters: its spelling may tell"),
    mark("{share} are numbers, but too many are not, such as {examples}"),
    mark("rare ones will share a level"),
    mark("{count} different values in {rows} rows"),
    mark("{count} different values"),
    mark("if their words or spelling tell something"),
    mark("asked for"),
    mark("not among the inputs asked for"),
    mark("says which rows are for training, validation and test: used for the split, not learned from"),
    mark("groups of the split: new rows come from groups that were never seen"),
    # What transforms decided or noticed when they were fitted (features).
    mark("standard scaling: no training value lies more than {far} standard deviations from the mean"),
    mark("quantile scaling: the farthest training value lies {far} standard deviations from the mean"),
    mark("not numbers, counted as missing: {count}, such as {examples}"),
    mark("infinite, counted as missing: {count}"),
    mark("not dates, counted as missing: {count}, such as {examples}"),
    mark(
        "only day/month/year fits {day_first} values, only month/day/year {month_first};"
        " all are read as day/month/year"
    ),
    mark(
        "only day/month/year fits {day_first} values, only month/day/year {month_first};"
        " all are read as month/day/year"
    ),
    mark("nothing tells day/month from month/day: read as month/day/year; set order: dmy to change it"),
    mark("neither yes nor no: {count}, such as {examples}"),
    mark("rare levels that share one index: {count} of {all}"),
    mark("rare labels that share a column: {count} of {all}"),
    mark("the order of the levels was taken from the alphabet ({levels}); set order to change it"),
    mark("Images are brought to {width} x {height} pixels; option size changes that."),
    mark("All images looked at are grey, so one channel is kept."),
    mark("Pixel values from {low} to {high} become black to white."),
    mark("Arrays of samples are taken to have {rate} samples a second."),
    mark("Recordings are resampled to {rate} samples a second; option sample_rate changes that."),
    mark("Recordings longer than {seconds} s are cut at the end; option max_seconds changes that."),
    # What the split noticed (data.splits).
    mark(
        "{count} rows repeat the inputs of another row and stay in one part with it: a model must"
        " not be judged by what it learned by heart"
    ),
    mark(
        "{count} rows have inputs that too many rows share, and may be in any part: equal inputs are the"
        " rule here, not copies"
    ),
    mark("the classes are too small to be shared out: the parts are random"),
    mark("{count} classes of '{target}' have too few rows to be in every part: {classes}"),
    mark(
        "{count} validation rows have the same inputs as a training row, so the result may flatter the model"
    ),
    mark("{count} test rows have the same inputs as a training row, so the result may flatter the model"),
    mark("the parts are those of the source"),
    mark("the parts are those of the column '{column}'"),
    mark("{count} rows name no part and are for training"),
    mark("the source has no validation and no test rows: they are drawn from training"),
    mark("the source has no validation rows: they are drawn from training"),
    mark("the source has no test rows: they are drawn from training"),
    mark("each part has the same share of every class of '{target}'"),
    mark("equal rows would join most groups of '{column}', so they may be in two parts"),
    mark("no group of '{column}' is in two parts ({count} groups)"),
    mark("{count} rows without a group are groups of one"),
    mark("the latest rows by '{column}' are the test, those before them the validation"),
    mark("{count} rows without a time are for training"),
    # What the readers noticed (data, data.sources).
    mark("Spaces around column names were cut off."),
    mark("Columns without a name were called {names}."),
    mark("The index ({names}) is left out; make it a column if it matters."),
    mark("Values are divided by semicolons."),
    mark("Values are divided by tabs."),
    mark("Values are divided by bars."),
    mark("Values are divided by spaces."),
    mark("The text was read as {encoding}; if it looks wrong, set data.encoding."),
    mark("1 file was read as {encoding}; if it looks wrong, set data.encoding."),
    mark("{count} files were read as {encoding}; if they look wrong, set data.encoding."),
    mark("Left out: 1 line without any value."),
    mark("Left out: {count} lines without any value."),
    mark("Left out: 1 repeated header line."),
    mark("Left out: {count} repeated header lines."),
    mark("The rows are the list under the key '{key}'."),
    mark("Of {count} sheets the first, '{sheet}', was read; data.sheet names another."),
    mark(
        "The run, its model and its report hold the URL of the data without its password: *** stands in its"
        " place."
    ),
    mark("Columns that only {table} has are left out: {columns}."),
    mark("Links and devices left out of {name}: {count}."),
    mark("Left out: 1 file of other kinds ({files})."),
    mark("Left out: {count} files of other kinds ({files})."),
    mark("No label: 1 file outside of class folders."),
    mark("No label: {count} files outside of class folders."),
    mark("Folders within class folders do not count: the class is the outer folder."),
    mark("The folder '{name}' was read, and not the hub."),
    mark("Left out: 1 split of other names."),
    mark("Left out: {count} splits of other names."),
    # Why a row was set aside (data.sources, features).
    mark("part of the row from line {line}, which is broken"),
    mark("the item is not an object"),
    mark("the item holds half a surrogate pair, which is no text"),
    mark("the line holds half a surrogate pair, which is no text"),
    mark("the line holds a number of thousands of digits"),
    mark("the target is missing"),
    mark("the target {value} is not a number"),
    mark("the target {value} is infinite"),
    mark("the target {value} is neither yes nor no"),
    mark("the class {value} was not seen in training"),
    mark("a label of {value} was not seen in training"),
    mark("this is not a list of numbers"),
    mark("a vector of {count} numbers where {expected} are expected"),
    mark("the file is empty"),
    mark("the image file is damaged"),
    mark("the image file is cut short or damaged"),
    mark("this is no image file that can be read (JPEG, PNG, GIF, WebP, BMP, TIFF …)"),
    mark("the image has more than {count} pixels (option max_pixels)"),
    mark("the image holds values that are not finite numbers"),
    mark("the audio file is cut short or damaged"),
    mark("this is no audio file that can be read (WAV, FLAC, OGG, MP3, AIFF …)"),
    mark("the recording has no samples"),
    mark("the recording holds samples that are not finite numbers"),
    # What was counted while encoding (features).
    mark("truncated"),
    mark("unseen"),
    mark("not numbers"),
    mark("infinite"),
    mark("rare or unseen levels"),
    mark("rare or unseen labels"),
    mark("not dates"),
    mark("neither yes nor no"),
    mark("numbers missing in sequences"),
    mark("numbers missing in vectors"),
    mark("missing, though never in training"),
    mark("rows without this target, learned from for the others"),
    mark("stretched"),
    mark("cropped"),
    mark("padded"),
    # What training went on from (training.faults).
    mark(
        "Step {step} was skipped: its loss was not finite; the rows of its batch stand in quarantine.jsonl."
    ),
    mark(
        "Step {step} was skipped: its gradient was not finite; the rows of its batch stand in"
        " quarantine.jsonl."
    ),
    mark(
        "Memory ran out in step {step}: from there on, at most {rows} rows are computed at a time; a step"
        " still learns from as many as before."
    ),
    mark("The checkpoint {name} is damaged and was passed over for the one before: {why}."),
    # How the training settings were chosen (workshop.choices).
    mark("training.batch: {value} (about 40 steps an epoch from {rows} rows, within {low} to {high})"),
    mark("training.precision: {value} (GPUs compute in it several times faster)"),
    mark("training.precision: {value} (this CPU multiplies matrices {gain} times faster in it)"),
    mark("training.learning_rate: {value} (good for {kind} encoders with {optimizer})"),
    mark(
        "training.budget: {epochs} epochs (about {steps} steps for {kind} encoders, at most {minutes}"
        " minutes)"
    ),
    # How those of a language model were chosen (workshop.language_choices).
    mark("training.learning_rate: {value} (good for a model of this width)"),
    mark("training.learning_rate: {value} (good for {method})"),
    mark("training.optimizer: muon (for the matrices of a model from random weights)"),
    mark("training.batch_tokens: {value} (about {rows} rows of {context} tokens)"),
    mark(
        "training.budget: {epochs} epochs ({tokens} tokens for each parameter, and at most {most} passes,"
        " within {minutes} minutes)"
    ),
    mark("training.budget: {epochs} epochs (enough for fine-tuning, within {minutes} minutes)"),
    mark("The model has {layers} layers: what the budget and the training texts can teach"),
    mark("{longer} of {all} samples have more than {context} tokens: split"),
    mark("{longer} of {all} samples have more than {context} tokens: cut off there"),
    mark("{lost} of {all} samples are left out: nothing of what they teach lies within {context} tokens"),
    mark("in {count} of {all} samples no answer ends within {context} tokens"),
    mark("validation and test are the ends of the {documents}: there are few of them"),
    # How samples were shared out (workshop.language_split).
    mark(
        "{count} samples equal another one and stay in one part with it: a model must not be judged by what"
        " it learned by heart"
    ),
    mark(
        "{count} samples equal too many others, and may be in any part: equal ones are the rule here, not"
        " copies"
    ),
    mark("the pieces of a document stay in one part ({count} documents)"),
    mark("equal samples would join most groups, so they may be in two parts"),
    mark("{count} validation samples are training samples too, so the result may flatter the model"),
    mark("{count} test samples are training samples too, so the result may flatter the model"),
    # What of conversations is left out or not learned (features.language.formats).
    mark("Conversations that end with what nobody answers, which is left out: {count}."),
    mark("Turns in which the assistant calls a tool, which are read and not learned: {count}."),
    mark("Turns in which the assistant says nothing, which are read and not learned: {count}."),
    mark("Turns of the assistant with weight 0, which are read and not learned: {count}."),
    # Why a file of a folder of texts was set aside (data.sources.text).
    mark("{file}: the file is empty"),
    mark("{file}: this is not a text file: it holds zero bytes"),
    mark("{file}: this is no plain file"),
    mark("{file}: the file cannot be read ({why})"),
    # What is compiled and recorded (workshop.speed, training.graphs, training.compilation).
    mark(
        "training.compile: {value} (a step is {ratio} times as fast, which saves {saved} of {planned}"
        " seconds; compiling takes {cost})"
    ),
    mark("training.compile: off (there is no C++ compiler here)"),
    mark("training.compile: off (there was no memory to try it)"),
    mark("training.compile: off (it failed: {reason})"),
    mark("training.compile: off (this setting has no effect: the model repeats no blocks)"),
    mark("training.compile: off (this setting has no effect: the model is shared out)"),
    mark("training.graphs: off (this setting has no effect: the model is shared out)"),
    mark("training.compile: {block} is not compiled ({reason})"),
    mark("training.graphs: on (every batch has the same shapes)"),
    mark("training.graphs: off (a micro-batch could not be recorded: {reason})"),
    mark("training.graphs: off (this setting has no effect: CUDA graphs are for NVIDIA GPUs)"),
    mark("training.graphs: off (this setting has no effect: rows have many lengths, and a graph is for one)"),
    mark(
        "training.graphs: off (this setting has no effect: mixup and cutmix draw on the host, and a graph"
        " would repeat one draw)"
    ),
    # Simple models, and figures without a value (evaluation).
    mark("there are no rows"),
    mark("no row has a class"),
    mark("all rows have the same class"),
    mark("all true values are the same"),
    mark("a true value is 0"),
    mark("skipped: the training rows have one class only"),
    mark("skipped: no time was left"),
    mark("skipped: more than {count} classes would take too long"),
    mark("trained on {count} of {all} rows and {rounds} rounds instead of {wanted} to save time"),
    mark("trained on {count} of {all} rows to save time"),
    mark("{rounds} rounds instead of {wanted} to save time"),
    mark("without {columns}"),
)
