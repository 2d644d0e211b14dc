"""One white list for other people's JSON: a key is obeyed, or cannot change a vector, or is refused by name."""

from pathlib import Path
from typing import Any

from clipmini.files import CheckpointError

ANY: None = None  # in a table: the key is read, whatever its value
IGNORED = "ignored"  # in a table: the key changes no vector; instead of these a tuple holds the values that are CLIP's

# What transformers' PreTrainedConfig wrote into every section from version 4.5 on: how to train, generate, report.
EVERYWHERE: dict[str, Any] = dict.fromkeys((
    "_name_or_path", "_commit_hash", "_attn_implementation", "_attn_implementation_autoset", "architectures",
    "attention_dropout", "attention_probs_dropout_prob", "bad_words_ids", "begin_suppress_tokens", "bos_token_id",
    "chunk_size_feed_forward", "classifier_dropout", "decoder_start_token_id", "diversity_penalty", "do_sample",
    "dropout", "dtype", "early_stopping", "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty",
    "finetuning_task", "forced_bos_token_id", "forced_eos_token_id", "gradient_checkpointing", "hidden_dropout_prob",
    "id2label", "initializer_factor", "initializer_range", "is_encoder_decoder", "label2id", "length_penalty",
    "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_labels",
    "num_return_sequences", "output_attentions", "output_hidden_states", "output_past", "output_scores", "prefix",
    "problem_type", "projection_dim", "remove_invalid_values", "repetition_penalty", "return_dict",
    "return_dict_in_generate", "sep_token_id", "suppress_tokens", "task_specific_params", "temperature",
    "tf_legacy_loss", "tie_encoder_decoder", "tie_word_embeddings", "tokenizer_class", "top_k", "top_p", "torch_dtype",
    "torchscript", "transformers_version", "typical_p", "use_bfloat16", "use_cache"), IGNORED)
EVERYWHERE |= {"add_cross_attention": (False,), "cross_attention_hidden_size": (), "is_decoder": (False,),
               "pruned_heads": ({},)}
TOWER = {**EVERYWHERE, **dict.fromkeys(("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                                        "hidden_act", "layer_norm_eps"), ANY)}
CONFIG = {**EVERYWHERE, "model_type": ANY, "vision_config": ANY, "text_config": ANY, "vision_config_dict": ANY,
          "text_config_dict": ANY, "projection_dim": ANY, "logit_scale_init_value": IGNORED, "eos_token_id": IGNORED,
          "pad_token_id": IGNORED}
VISION = {**TOWER, "image_size": ANY, "patch_size": ANY, "num_channels": (3,), "eos_token_id": IGNORED,
          "pad_token_id": IGNORED, "model_type": ("clip_vision_model", "chinese_clip_vision_model")}
TEXT = {**TOWER, "vocab_size": ANY, "max_position_embeddings": ANY, "eos_token_id": ANY, "pad_token_id": IGNORED,
        "model_type": ("clip_text_model",)}
CHINESE = {**TOWER, "vocab_size": ANY, "max_position_embeddings": (512,), "eos_token_id": IGNORED, "pad_token_id": (0,),
           "type_vocab_size": (2,), "position_embedding_type": ("absolute",),
           "model_type": ("chinese_clip_text_model", "bert"),
           # Google's BERT wrote these, and nobody reads them.
           **dict.fromkeys(("directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers",
                            "pooler_size_per_head", "pooler_type"), IGNORED)}

# preprocessor_config.json: a model's name ("CLIP") before each kind of processor that transformers had for it.
PROCESSORS = tuple(f"{family}{kind}" for family in ("CLIP", "ChineseCLIP", "Siglip")
                   for kind in ("ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor"))
PIXELS = {"image_mean": ANY, "image_std": ANY, "size": ANY, "crop_size": ANY, "resample": ANY, "do_resize": (True,),
          "do_center_crop": (True, False), "do_rescale": (True, False), "rescale_factor": ANY,
          "do_normalize": (True, False), "image_processor_type": PROCESSORS, "feature_extractor_type": PROCESSORS,
          "do_convert_rgb": (True,), "do_pad": (False,), "use_square_size": (False,),
          "data_format": ("channels_first",), "processor_class": IGNORED, "return_tensors": IGNORED,
          "device": IGNORED, "disable_grouping": IGNORED, "image_seq_length": IGNORED, "_valid_processor_keys": IGNORED,
          "_processor_class": IGNORED}
PROCESSOR = {"image_processor": ANY, "processor_class": IGNORED, "tokenizer": IGNORED, "tokenizer_class": IGNORED}

# open_clip_config.json. Keys of timm's and Hugging Face's towers say nothing where none is named.
NO_TIMM = dict.fromkeys(("timm_model_pretrained", "timm_pool", "timm_proj", "timm_proj_bias", "timm_drop",
                         "timm_drop_path", "attn_pooler_queries", "attn_pooler_heads"), IGNORED)
NO_HF = dict.fromkeys(("hf_model_pretrained", "hf_proj_type", "hf_pooler_type", "pad_id", "eos_id"), IGNORED)
PLAIN: dict[str, Any] = dict.fromkeys(("output_tokens", "final_ln_after_pool", "qk_norm", "scaled_cosine_attn",
                                       "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc"), (False,))
PLAIN |= {"act_kwargs": ({},), "norm_kwargs": ANY, "block_type": ("default",)}
OPEN_CLIP_FILE = {"model_cfg": ANY, "preprocess_cfg": ANY}
OPEN_CLIP = {"embed_dim": ANY, "vision_cfg": ANY, "text_cfg": ANY, "quick_gelu": (True, False), "custom_text": IGNORED,
             "init_logit_scale": IGNORED, "init_logit_bias": ANY, "nonscalar_logit_scale": (False,)}
OPEN_CLIP_VISION = {**PLAIN, **NO_TIMM, "image_size": ANY, "layers": ANY, "width": ANY, "patch_size": ANY,
                    "head_width": ANY, "mlp_ratio": ANY, "patch_dropout": IGNORED, "attentional_pool": (False,),
                    "pool_type": ("tok",), "no_ln_pre": (False,), "pos_embed_type": ("learnable",)}
OPEN_CLIP_TEXT = {**PLAIN, **NO_HF, "context_length": ANY, "vocab_size": ANY, "width": ANY, "heads": ANY, "layers": ANY,
                  "mlp_ratio": ANY, "embed_cls": (False,), "no_causal_mask": (False,), "pool_type": ("argmax",),
                  "proj_type": ("linear",), "proj_bias": (False,), "tokenizer_kwargs": ({},),
                  "hf_tokenizer_name": ANY}
OPEN_CLIP_PIXELS = {"mean": ANY, "std": ANY, "interpolation": ANY, "resize_mode": ANY, "size": ANY, "mode": ("RGB",),
                    "fill_color": IGNORED}  # a colour for "longest", which clipmini does not have


def obeyed(section: Any, table: dict, path: Path, where: str = "") -> dict[str, Any]:
    """The entries of a JSON object that are to be read. A null asks for nothing, so it is as if it were not there.

    table: key -> ANY, IGNORED or the values that clipmini's towers have. where: the object's place in the file.
    Raises CheckpointError that names the file, the key and its value.
    """
    if not isinstance(section, dict):
        raise CheckpointError(f"{str(path)!r} has {where or 'itself'} = {section!r} where an object should stand; "
                              "take the file of the model's own page")
    found = {key: value for key, value in section.items() if value is not None}
    for key, value in found.items():
        allowed = table.get(key, ())
        if isinstance(allowed, tuple) and value not in allowed:
            name = f"{where}.{key}" if where else key
            only = f" but {' or '.join(map(repr, allowed[:4]))}" if allowed else ""
            raise CheckpointError(f"{str(path)!r} asks for {name} = {value!r}, which clipmini's towers don't have{only}"
                                  "; open this model with the library that wrote it")
    return {key: value for key, value in found.items() if table[key] != IGNORED}


def square(value: Any, name: str, path: Path) -> Any:
    """A side in pixels where a file gives one number, [n, n] or {"height": n, "width": n}. Raises CheckpointError."""
    sides = [value.get("height"), value.get("width")] if isinstance(value, dict) else value
    sides = sides if isinstance(sides, list) else [sides]
    extra = set(value) - {"height", "width"} if isinstance(value, dict) else set()
    if extra or len(sides) not in (1, 2) or sides[0] != sides[-1]:
        raise CheckpointError(f"{str(path)!r} asks for {name} = {value!r}; clipmini's pictures are square. Open this "
                              "model with the library that wrote it")
    return sides[0]
