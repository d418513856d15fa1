"""Networks that take text: models of transformers with their tokenizer, and small networks over tokens."""
