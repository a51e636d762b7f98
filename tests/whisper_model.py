"""A Whisper model of a few hundred kilobytes with random weights, in CTranslate2's format.

It runs the real recogniser from the first sample to the last token. What it "hears" is nonsense, but
the same nonsense for the same audio, in words of its own small vocabulary, and with confidence.
"""

import json
from pathlib import Path

import ctranslate2
import tokenizers
import torch
import transformers

WORDS = (
    *("yes", "no", "well", "thank", "you", "please", "help", "good", "morning", "bad", "day"),
    *("time", "call", "order", "late", "price", "wonderful", "terrible", "sorry", "happy"),
    *("angry", "maybe", "never", "always", "today", "again"),
)
LANGUAGE_TOKENS = [
    f"<|{code}|>" for code in ("en", "de", "es", "fr", "it", "pl", "ur", "am", "hi", "zh")
]
TIMESTAMPS = 1501


def make_whisper(directory: Path, *, multilingual: bool = False, seed: int = 5) -> Path:
    """Make the model in an empty or new directory, and return the directory."""
    source = directory.with_name(f"{directory.name}-source")
    source.mkdir(parents=True)
    tokenizer = _tokenizer(source, multilingual=multilingual)
    _network(tokenizer, seed).save_pretrained(source)
    converter = ctranslate2.converters.TransformersConverter(
        str(source), copy_files=["tokenizer.json", "preprocessor_config.json"]
    )
    converter.convert(str(directory))
    if multilingual:
        _tell_languages(directory, tokenizer)
    return directory


def _tokenizer(directory: Path, *, multilingual: bool) -> tokenizers.Tokenizer:
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    text = [*alphabet, *(f"Ġ{word}" for word in WORDS)]
    if multilingual:
        text.append("")  # which is how CTranslate2 tells the two kinds apart
    special = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        *LANGUAGE_TOKENS,
        *("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"),
        *("<|nocaptions|>", "<|notimestamps|>"),
    ]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE({token: index for index, token in enumerate(text)}, [])
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|endoftext|>",  # noqa: S106 - a token of text
    ).save_pretrained(directory)
    features = {"feature_size": 80, "sampling_rate": 16000, "hop_length": 160, "n_fft": 400}
    (directory / "preprocessor_config.json").write_text(
        json.dumps({**features, "chunk_length": 30}), encoding="utf-8"
    )
    return tokenizer


def _network(
    tokenizer: tokenizers.Tokenizer, seed: int
) -> transformers.WhisperForConditionalGeneration:
    width = 32
    end = tokenizer.token_to_id("<|endoftext|>")
    config = transformers.WhisperConfig(
        vocab_size=tokenizer.get_vocab_size() + TIMESTAMPS,
        d_model=width,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=tokenizer.token_to_id("<|startoftranscript|>"),
        tie_word_embeddings=False,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = transformers.WhisperForConditionalGeneration(config)
        network.generation_config.begin_suppress_tokens = [tokenizer.token_to_id("Ġ"), end]
        decoder = network.model.decoder
        with torch.no_grad():
            # What is heard and the place in the sentence choose the next word, not the last word.
            # The further on, the likelier the end.
            onward = torch.nn.functional.normalize(torch.randn(width), dim=0)
            decoder.embed_positions.weight.normal_(std=1)
            decoder.embed_positions.weight += torch.arange(448)[:, None] * onward
            decoder.layers[0].encoder_attn.out_proj.weight.normal_(std=3)
            decoder.layers[0].encoder_attn.k_proj.weight.normal_(std=2)
            network.model.encoder.conv1.weight.normal_(std=1)
            network.model.encoder.conv2.weight.normal_(std=1)
            # The last normalisation's bias points where the words are, and away from all else.
            direction = torch.nn.functional.normalize(torch.randn(width), dim=0)
            decoder.layer_norm.bias.copy_(4 * direction)
            table = 2 * torch.randn_like(network.proj_out.weight)
            table -= (table @ direction)[:, None] * direction + 6 * direction
            for word in WORDS:
                table[tokenizer.token_to_id(f"Ġ{word}")] += 12 * direction
            table[end] = 6 * direction + 6 * onward
            network.proj_out.weight.copy_(table)
    return network


def _tell_languages(directory: Path, tokenizer: tokenizers.Tokenizer) -> None:
    """Put the languages into the configuration, where the converter looks for them in vain."""
    file = directory / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["lang_ids"] = [tokenizer.token_to_id(token) for token in LANGUAGE_TOKENS]
    file.write_text(json.dumps(config), encoding="utf-8")
