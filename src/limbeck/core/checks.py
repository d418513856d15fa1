"""The checks by code: what each one looks at, how, why it matters and what to do; `limbeck checks LB202` prints one.

Codes are stable: a code is never given to another check. 1xx data, 2xx teacher and answers, 3xx what came out,
4xx what is shipped.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """The page of one check."""

    code: str
    title: str
    how: str
    why: str
    todo: str

    def page(self) -> str:
        """The page as text."""
        parts = (("how it is measured", self.how), ("why it matters", self.why), ("what to do", self.todo))
        body = "\n".join(f"  {name:<20}{text}" for name, text in parts)
        return f"{self.code}  {self.title}\n{body}\n  {'how to silence':<20}checks: {{ignore: [{self.code}]}}"


_PAGES = (
    Check(
        "LB101",
        "test rows that also stand in training",
        "rows are hashed without their labels; test rows whose hash also stands in the training, validation or "
        "unlabelled rows leave the score and are counted (a tip below 1 % of the test rows, an issue above)",
        "a model that has seen a row can remember it: the score would be of memory, not of skill",
        "take the duplicates out of one side; where rows come from the same person or page, split by group",
    ),
    Check(
        "LB102",
        "the same input with different labels",
        "rows with equal hashes are compared by label",
        "no model can be right on both; such rows bound every score from above",
        "look at the rows that are listed and correct the labels, or add the column that tells them apart",
    ),
    Check(
        "LB103",
        "a class is missing or rare",
        "rows are counted per class in the training, validation and test rows",
        "a class without training rows cannot be learned; one with a handful of test rows cannot be measured",
        "collect more rows of it, merge it with a neighbour, or leave it out of classes",
    ),
    Check(
        "LB106",
        "the test set is small for the claim",
        "the half-width of the 95 % interval of the gain is compared with 2 points",
        "smaller gains and losses than the half-width cannot be seen",
        "label more test rows, or use more seeds; `limbeck check` says how many before any work",
    ),
    Check(
        "LB110",
        "the task was guessed",
        "text, true or false and few whole numbers are classes; lists and columns of 0 and 1 are labels; other numbers "
        "are regression",
        "the task decides the loss, the metric and how answers are read",
        "name it: task: classification, multilabel or regression",
    ),
    Check(
        "LB111",
        "columns were read with a guess or a change",
        "columns that nobody named are taken by their names and places, dates become days since 1970",
        "a model sees what was read, not what was meant",
        "name the columns: target, id, group, weight, inputs, drop",
    ),
    Check(
        "LB112",
        "classes are imbalanced",
        "the rows of the largest class are divided by those of the smallest; said from 10 on",
        "accuracy rewards the large class",
        "look at balanced accuracy and macro F1, or weigh the rows",
    ),
    Check(
        "LB113",
        "missing values were filled",
        "missing cells of the training rows are counted by column",
        "numbers take the median, categories a value of their own; an exported student does the same",
        "nothing, unless a column is missing where you know that it is there",
    ),
    Check(
        "LB114",
        "inputs are constant",
        "columns with one value in all training rows",
        "they carry nothing; a table leaves them out, an array keeps them as zeros",
        "nothing, unless they should vary",
    ),
    Check(
        "LB115",
        "text is read as categories",
        "columns whose training values are no numbers",
        "each value that occurs twice becomes an input, up to 64; all others count as unknown",
        "leave free text out with columns.drop",
    ),
    Check(
        "LB116",
        "columns are not used",
        "text columns in which no value occurs twice, numbers that are all equal once the missing ones are filled",
        "free text and names of rows cannot be learned from as categories",
        "name them as id, or leave them out with columns.drop",
    ),
    Check(
        "LB117",
        "rows have no label",
        "missing labels are counted by task and split",
        "in training the teacher alone speaks about such rows, in test they leave the score of the task",
        "nothing, unless the labels should be there",
    ),
    Check(
        "LB118",
        "a column holds numbers and text",
        "the values of text columns are read as numbers; said where some can be and some cannot",
        "all its values are categories then, and a number there has no order",
        "correct the odd values, or leave them empty",
    ),
    Check(
        "LB119",
        "validation rows also stand in training",
        "rows are hashed without their labels; validation rows whose hash stands in train or unlabeled are counted",
        "the best checkpoint and the temperature are chosen on rows that were trained on",
        "take them out of one of the two, or let limbeck split the validation rows off",
    ),
    Check(
        "LB120",
        "groups stand on both sides",
        "the groups of the training rows are compared with those of the validation and test rows that you gave",
        "rows of one group are alike: the score says less about new groups",
        "split by group: leave the split out and give groups",
    ),
    Check(
        "LB121",
        "texts are cut",
        "the tokens of 2,000 training texts, and of the texts to be written, are counted before they are cut",
        "what is cut off is neither read nor learned",
        "raise the max_length of the student, or writing.max_length",
    ),
    Check(
        "LB122",
        "clips with nothing to hear",
        "clips whose largest sample is below -60 dB, and clips shorter than 50 ms, are counted in every split",
        "a model learns their labels by heart, and a teacher guesses there",
        "listen to them; leave out what is broken",
    ),
    Check(
        "LB123",
        "clips are cut at the top",
        "clips that stand at the end of their range for three samples or more in a row are counted",
        "they were recorded too loud: harmonics appear that new recordings will not have",
        "record them again at a lower level, or leave them out",
    ),
    Check(
        "LB124",
        "sampling rates differ",
        "the rates that files and data sets declare are compared; other clips were resampled to the wanted rate",
        "clips of a low rate have no high frequencies: a model can tell the sources apart by that",
        "say sample_rate, the lowest of them, to make all alike",
    ),
    Check(
        "LB125",
        "texts are empty",
        "rows are counted, by split, whose texts are missing or hold nothing but spaces, or that have no words",
        "a model reads nothing in them and answers all of them alike",
        "leave these rows out, or look at how the column was read",
    ),
    Check(
        "LB126",
        "images and masks were resized",
        "the sizes of the files are compared with image_size; masks take the value of the nearest pixel",
        "masks are judged at the size at which they were read",
        "set image_size to the size at which masks will be used",
    ),
    Check(
        "LB127",
        "images were converted",
        "images of 16 bits are scaled to 8, CMYK becomes RGB",
        "a student sees what was read; images that use few of the 16 bits become dark and coarse",
        "convert them yourself, the same way in training and in use",
    ),
    Check(
        "LB128",
        "classes of few pixels",
        "the labelled pixels of each class are counted over the training masks",
        "the mean over pixels hardly sees them, in the loss and in pixel accuracy",
        "look at mean IoU, and add Dice to the objective",
    ),
    Check(
        "LB129",
        "masks of 0 and 255 are masks of two classes",
        "the numbers that training masks hold are looked at",
        "255 often marks pixels without a label; where it is all there is beside 0 it is a class",
        "nothing; where 255 is to be ignored, name all classes",
    ),
    Check(
        "LB130",
        "training rows without a label of any task",
        "rows of a table with several tasks that have no label at all are counted",
        "they are unlabelled rows: the teachers alone speak about them, and the control does not see them",
        "nothing, unless a label should be there",
    ),
    Check(
        "LB133",
        "a split is a stream",
        "rows and bytes that were read once and lie on disk are counted",
        "training and labelling read rows from that folder; memory holds keys and labels, not inputs",
        "nothing; delete the folder when no run needs it, or name another with lb.Stream(cache=...)",
    ),
    Check(
        "LB134",
        "rows of a stream are shuffled in windows",
        "the bytes of streamed training rows are compared with what is shuffled at once",
        "a random row of a set larger than memory is a read of its own; rows that lie together come somewhat together",
        "shuffle the shards once where they are sorted by class",
    ),
    Check(
        "LB135",
        "the teacher was not trained within the folds",
        "with folds a teacher that is trained here is trained anew in each fold; teachers that came trained are named",
        "a teacher that has seen the label of a row hands it on to the students that are tested on this row",
        "give a teacher that is trained here, or one that was trained on other rows",
    ),
    Check(
        "LB136",
        "few rows: a test set that is split off shows nothing",
        "test rows and labelled rows are counted: fewer than 50 test rows of fewer than 200 labelled rows",
        "every row more that trains is a row less to judge on; with folds all rows do both",
        "set evaluate.folds to 5 (folds=5 in Python) and give no test rows",
    ),
    Check(
        "LB137",
        "distillation hurts in a slice",
        "student and control are compared in every slice of the test rows, at a level that counts all slices of a task",
        "the mean hides rows for which the teacher is a bad guide",
        "look at the teacher on these rows; leave them to labels, or train it on more of them",
    ),
    Check(
        "LB138",
        "the student falls behind in a slice",
        "student minus teacher in a slice is compared with that on the other rows, at a level that counts all slices",
        "the mean hides who pays for the small model",
        "give the student more unlabelled rows of this kind, or a larger student",
    ),
    Check(
        "LB139",
        "clips are too short for their transcript",
        "the frames that the student answers a clip with are compared with its characters, one more between equal ones",
        "CTC has no path that spells such a transcript: the clip is counted and teaches nothing",
        "choose a smaller subsample of the student, or mend transcripts that belong to other clips",
    ),
    Check(
        "LB140",
        "rows know a part of their labels",
        "training rows of which some entries of a task of several columns are known and others are empty",
        "the loss on labels leaves them out, and the teacher speaks of them; rows that are judged are whole",
        "fill them where they can be known; 0 and an empty cell are not the same",
    ),
    Check(
        "LB201",
        "the teacher is no better than its control",
        "the teacher's score is compared, paired by row, with a constant answer and with the student that was trained "
        "without it",
        "a teacher that knows no more than its student can teach little; a gain would have other causes",
        "train a better teacher or an ensemble, give it more data, or check its preprocessing and class order",
    ),
    Check(
        "LB202",
        "the teacher's classes are in another order than the labels",
        "the permutation of classes that fits best is found on one half of the rows and tested on the other",
        "a student of such a teacher learns the wrong classes",
        "give the teacher's class order (classes: [...]), or reorder its outputs by the printed mapping",
    ),
    Check(
        "LB203",
        "the stored answers do not fit their rows",
        "stored answers are compared with the labels of their rows, and with answers moved to random rows",
        "answers that stand at the wrong rows teach noise; a gain from them is not knowledge",
        "label again, or check the row ids of the table of predictions",
    ),
    Check(
        "LB204",
        "the teacher does not give the same answer twice",
        "32 rows are answered twice and compared",
        "dropout or batch statistics at work: the stored answers are one draw of many",
        "put the teacher in eval mode, or average several answers",
    ),
    Check(
        "LB206",
        "teacher and student do not have the same outputs",
        "the number and the names of classes (or targets) of both are compared",
        "classes that one side does not know cannot be compared",
        "give both the same classes in the same order",
    ),
    Check(
        "LB207",
        "the soft labels carry almost nothing",
        "the entropy of the teacher's answers at the temperature in use is compared with none and with the most",
        "answers that are almost one-hot say no more than hard labels, answers that are almost uniform say nothing",
        "choose another temperature (auto looks at the answers), or label rows that the teacher was not trained on",
    ),
    Check(
        "LB208",
        "teacher and student are the same model",
        "weights are compared by identity and by value before training starts",
        "a student that shares the teacher's weights changes its teacher, or has nothing to learn",
        "give the student as a factory or a name",
    ),
    Check(
        "LB209",
        "texts of the teacher were left out",
        "each text that the teacher wrote passes the rules of `writing`: length against its source, repetition, and "
        "where asked its probability and its likeness to the reference",
        "a text that is empty, repeats itself or is not of the length of its source teaches what nobody wants",
        "look at the texts in transfer/, change the rules, or let the teacher write with more beams",
    ),
    Check(
        "LB301",
        "the gain comes from the unlabelled rows, not from soft labels",
        "a student is trained on the same rows with the teacher's decisions as labels and compared, paired",
        "the student learned from more data; the soft part of the answers added nothing that can be seen",
        "pseudo-labels are simpler and cheaper to store; for soft labels try another temperature or weight",
    ),
    Check(
        "LB302",
        "the student is not smaller or faster than the teacher",
        "parameters and the latency of one row are compared",
        "distillation is worth its price where the student is cheaper to run",
        "choose a smaller student, or ship the teacher",
    ),
    Check(
        "LB303",
        "training stopped while the student was still improving",
        "the best validation score of the last fifth of training is compared, over seeds, with the best one before",
        "distillation likes long training; the student may have more to give",
        "raise train.steps or train.epochs, for both arms alike",
    ),
    Check(
        "LB305",
        "the effect is smaller than the noise between seeds",
        "the gain is compared with the standard deviation of its values over seeds",
        "a single run of each arm can show the opposite of the truth",
        "never compare single runs here; use more seeds before you decide",
    ),
    Check(
        "LB307",
        "some classes lost more than 5 points",
        "recall per class is compared with the teacher's, beyond two standard errors",
        "the mean hides who pays for the small model",
        "look at these rows; weigh these classes up, or give the student more unlabelled rows of them",
    ),
    Check(
        "LB308",
        "the gain is not the teacher's knowledge",
        "the stored answers are compared with labels and with answers moved to random rows",
        "soft targets regularise even when they are noise; such a gain needs no teacher",
        "check the teacher's answers and their rows; compare with label smoothing before you pay for a teacher",
    ),
    Check(
        "LB401",
        "the exported model decides otherwise than the student",
        "both answer the same real rows; numbers and decisions are compared",
        "what is shipped must be what was measured",
        "raise export.tolerance only if no decision flips; otherwise report the operator that is named",
    ),
    Check(
        "LB402",
        "int8 is slower on this machine",
        "one test row is answered by the float32 and by the int8 file, with one thread",
        "int8 pays where processors have instructions for it and matrices are large",
        "ship export/student.onnx, or measure on the machine that will run it",
    ),
    Check(
        "LB403",
        "int8 costs quality",
        "both exported files answer the test rows; the interval of the paired difference lies below zero",
        "a smaller file that decides worse may not be worth it",
        "ship export/student.onnx, or weigh the loss against size and latency",
    ),
)

CHECKS: dict[str, Check] = {check.code: check for check in _PAGES}
