"""Stored answers in a plain torch loop: anybody's teacher, anybody's trainer, one loss from limbeck.

python examples/own_loop.py [FOLDER]     the transfer set is written there, or to a temporary folder
"""

import sys
import tempfile

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits
from sklearn.svm import SVC

import limbeck as lb
from limbeck.data.keys import row_keys
from limbeck.data.rows import Rows
from limbeck.data.tasks import Classification
from limbeck.objectives.response.kd import kd_loss
from limbeck.transfer.exchange import import_table

x, y = load_digits(return_X_y=True)
rows = Rows("array", x, row_keys("array", x), ids=np.arange(len(x)))
train, test = np.split(np.random.default_rng(0).permutation(len(x)), [1200])
teacher = SVC(C=10).fit(x[train[:600]], y[train[:600]])  # anything that answers; it saw half of these rows
scores = pd.DataFrame(teacher.decision_function(x), columns=list("0123456789")).assign(id=rows.ids)
folder = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()
import_table(scores, rows, folder, heads={"main": Classification(tuple("0123456789"))}, output="logits")

answers = lb.TransferSet(folder)
places, inputs = answers.align(rows.keys), torch.from_numpy(x / 16).float()
student = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
optimizer = torch.optim.AdamW(student.parameters(), lr=1e-2)
for _ in range(1000):
    batch = train[torch.randint(len(train), (128,)).numpy()]
    loss = kd_loss(student(inputs[batch]), answers.batch(places[batch])["main"], temperature=1.0)
    optimizer.zero_grad(), loss.backward(), optimizer.step()
for name, said in (("teacher", teacher.predict(x[test])), ("student", student(inputs[test]).argmax(1).numpy())):
    print(f"{name} {(said == y[test]).mean():.3f}")
