"""The article's two Keras networks, almost unchanged: python examples/keras_article.py (Keras on its torch backend)."""

import os

os.environ["KERAS_BACKEND"] = "torch"
import keras
from sklearn.datasets import load_digits

import limbeck as lb

x, y = load_digits(return_X_y=True)
layers = keras.layers
big = [keras.Input((64,)), layers.Dense(128, "relu"), layers.Dense(64, "relu"), layers.Dense(10, "softmax")]
teacher = keras.Sequential(big)
teacher.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
teacher.fit(x[:1000], y[:1000], epochs=10, verbose=0)
small = keras.Sequential([keras.Input((64,)), layers.Dense(64, "relu"), layers.Dense(10, "softmax")])
data = lb.Data(train=(x[:200], y[:200]), unlabeled=x[200:1000], test=(x[1000:], y[1000:]))
run = lb.distill(teacher, lambda: keras.models.clone_model(small), data, train=150, seeds=3, out="runs/article")
run.student.save("student.keras")  # a Keras model again, for rows as they are
