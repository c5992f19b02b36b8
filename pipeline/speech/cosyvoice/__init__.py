"""CosyVoice (Du et al. 2024, 2025), the speech of BayLing-Duplex's dialogues: `engine.CosyVoiceEngine`."""
