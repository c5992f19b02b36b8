import pytest

from duplexgen.pipeline.rewriting.chinese import spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("今天是2021年1月5日，占50%。", "今天是二零二一年一月五日，占百分之五十。"),
        ("温度是-5°C，比例3:1，2+3=5", "温度是负五摄氏度，比例三比一，二加三等于五"),
        ("-$5，-5元，-5%，3-5", "负五美元，负五元，负百分之五，三到五"),
        ("1,234.5，.5，2 1/2，a≠b", "一千二百三十四点五，零点五，二又二分之一，a不等于b"),
        ("3月-5月，约12:00，5 %", "三月到五月，约十二点，百分之五"),
        ("1e-5，x^2，21st", "一乘以十的负五次方，x的二次方，二十一st"),
        ("他说“5个”, 好吗?", "他说五个，好吗？"),
        ("使用 Python 编程（很好）", "使用Python编程，很好，"),
    ],
)
def test_chinese_is_read_out(written, said):
    assert spoken(written, []) == said
