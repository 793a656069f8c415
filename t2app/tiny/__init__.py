"""The built-in model: its text, its tokenizer, its pretraining. Nothing here runs in the app."""
