"""A causal language model of 40 kB: what does local code do with a checkpoint, without a download?"""

from __future__ import annotations

from pathlib import Path

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
)
LINES = [
    "Which cell type expresses MS4A1 and CD79A?",
    "T cells express CD3D, CD3E and IL7R.",
    "Monocytes express LYZ, S100A8 and S100A9; platelets express PPBP.",
    '{"title": "B cell", "score": 3}',
]


ANSWERS = {f"What is cell {n}?": f'{{"title": "{name}", "score": {n}}}' for n, name in enumerate(
    ("B cell", "T cell", "monocyte", "platelet", "NK cell", "dendritic cell", "B cell", "T cell")
)}  # fmt: skip


def save_tiny_llama(
    folder: Path, *, template: str | None = TEMPLATE, learn: int = 0, longest: int = 256
) -> Path:
    """Random weights; ``learn`` steps of training on ANSWERS end its turns; reads ``longest`` tokens."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, logging

    logging.disable_progress_bar()
    roles = ["<|system|>", "<|user|>", "<|assistant|>"]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=["<s>", "<|end|>", "<pad>", *roles],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([*LINES, *ANSWERS, *ANSWERS.values()], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<s>",
        eos_token="<|end|>",
        pad_token="<pad>",
        additional_special_tokens=roles,
    )
    tokenizer.chat_template = template
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=longest,
        initializer_range=0.02 if learn else 0.3,  # random logits are far apart with the larger one
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    turns = [
        [{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in ANSWERS.items()
    ]
    if learn:
        texts = [tokenizer.apply_chat_template(turn, tokenize=False) for turn in turns]
        taught = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
        labels = taught["input_ids"].masked_fill(taught["attention_mask"] == 0, -100)
        adam = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(learn):
            adam.zero_grad()
            model(**taught, labels=labels).loss.backward()
            adam.step()
    model.save_pretrained(folder)  # as safetensors
    tokenizer.save_pretrained(folder)
    return folder
