"""Tiny audio models of transformers in folders, and clips that they can learn from in seconds."""

import json

import numpy as np

RATE = 2000
TONES = {"a": 200, "b": 400, "c": 700}


def spoken(count, seed, most=2):
    """Strings of letters, each a tone, with pauses between."""
    draw = np.random.default_rng(seed)
    clips, texts = [], []
    for _ in range(count):
        text = "".join(draw.choice(list(TONES), draw.integers(1, most + 1)))
        parts = [np.zeros(60)]
        for letter in text:
            time = np.arange(draw.integers(160, 240)) / RATE
            parts += [0.3 * np.sin(2 * np.pi * TONES[letter] * time), np.zeros(60)]
        clip = np.concatenate(parts)
        clips.append((clip + 0.005 * draw.normal(size=len(clip))).astype(np.float32))
        texts.append(text)
    return clips, texts


def wav2vec2(folder, *, ctc, norm="layer", rate=RATE):
    """A Wav2Vec2 of two layers with drawn weights, its extractor and, for CTC, its tokenizer."""
    import torch
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2ForSequenceClassification,
    )

    torch.manual_seed(0)
    config = Wav2Vec2Config(
        vocab_size=6, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        conv_dim=(16, 16, 16), conv_kernel=(10, 4, 4), conv_stride=(5, 2, 2), num_feat_extract_layers=3,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, feat_extract_norm=norm, do_stable_layer_norm=True,
        classifier_proj_size=16, pad_token_id=0, id2label={0: "one", 1: "two"}, label2id={"one": 0, "two": 1},
    )  # fmt: skip
    folder.mkdir(parents=True)
    (Wav2Vec2ForCTC if ctc else Wav2Vec2ForSequenceClassification)(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(sampling_rate=rate, do_normalize=True, return_attention_mask=True).save_pretrained(folder)
    if ctc:
        words = {"<pad>": 0, "<unk>": 1, "|": 2, "C": 3, "B": 4, "A": 5}
        (folder / "vocab.json").write_text(json.dumps(words))
        Wav2Vec2CTCTokenizer(folder / "vocab.json", pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)
    return folder


def ast(folder):
    """An Audio Spectrogram Transformer of two layers."""
    import torch
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    torch.manual_seed(0)
    config = ASTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, max_length=64,
        num_mel_bins=16, id2label={0: "one", 1: "two"}, label2id={"one": 0, "two": 1},
    )  # fmt: skip
    folder.mkdir(parents=True)
    ASTForAudioClassification(config).save_pretrained(folder)
    ASTFeatureExtractor(sampling_rate=16000, num_mel_bins=16, max_length=64).save_pretrained(folder)
    return folder


def whisper(folder, *, decoder=2, rate=RATE):
    """A Whisper of one encoder layer with drawn weights, windows of one second, and a tokenizer of characters."""
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, WhisperConfig, WhisperFeatureExtractor
    from transformers import WhisperForConditionalGeneration as Whisper

    torch.manual_seed(0)
    words = ["<pad>", "<s>", "</s>", "<say>", "<unk>", *TONES, " "]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    inner.decoder = decoders.Fuse()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> <say> $A </s>", special_tokens=[("<s>", 1), ("<say>", 3), ("</s>", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        extra_special_tokens=["<say>"],
    )  # fmt: skip
    config = WhisperConfig(
        vocab_size=len(words), num_mel_bins=12, d_model=32, encoder_layers=1, decoder_layers=decoder,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64,
        max_source_positions=50, max_target_positions=16, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1, begin_suppress_tokens=None, suppress_tokens=None,
    )  # fmt: skip
    folder.mkdir(parents=True)
    model = Whisper(config)
    model.generation_config.suppress_tokens = model.generation_config.begin_suppress_tokens = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(
        feature_size=12, sampling_rate=rate, hop_length=rate // 100, n_fft=128, chunk_length=1
    ).save_pretrained(folder)
    return folder
