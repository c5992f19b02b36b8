"""Full-Duplex-Bench v1.0 and v1.5 (arXiv 2503.04721, 2507.23159): its inputs through a model, and its rules of scoring.

    folder of the benchmark ── inputs ──▶ Item ── outputs ──▶ a copy of its folder, with output.wav and output.json
                                                                │
                                            figures ◀── scores ─┘  by the rules of rules.py

The code of the benchmark is DanielLin94144/Full-Duplex-Bench; its rules are restated as they are at commit d7336bd.
"""

COMMIT = "d7336bd"
