import pytest

from duplexgen.pipeline.rewriting.chinese import spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("今天是2021年1月5日，占50%。", "今天是二零二一年一月五日，占百分之五十。"),
        ("温度是-5°C，比例3:1，2+3=5", "温度是负五摄氏度，比例三比一，二加三等于五"),
        ("他说“5个”, 好吗?", "他说五个，好吗？"),
        ("使用 Python 编程（很好）", "使用Python编程，很好，"),
    ],
)
def test_chinese_is_read_out(written, said):
    assert spoken(written) == said
