import random

import pytest
import wetext

from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.rewriting.chinese import _readings, spoken


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
        ("北纬30°，东经120°，共12,345.67元", "北纬三十度，东经一百二十度，共一万二千三百四十五点六七元"),
        ("10°C，10°ft，10°CPython，10^-3 °F", "十摄氏度，十度ft，十度CPython，十的负三次方华氏度"),
        ("1/2-3/4杯，5 / 2，1/120，120mph", "二分之一到四分之三杯，五除以二，一百二十分之一，一百二十mph"),
        ("5€3，$5", "五欧元三，五美元"),
        ("$5-$9，$5 - $9，$5 -£9", "五美元到九美元，五美元到九美元，五美元负九英镑"),
        ("约1/2/到", "约二分之一或到"),
        ("3->5，甲->乙，UTC-5", "三到五，甲到乙，UTC负五"),
        ("见http://a.com或bc.com", "见a dot com或bc dot com"),
        ("使用 Python 编程（很好）", "使用Python编程，很好，"),
    ],
)
def test_chinese_is_read_out(written, said):
    assert spoken(written, []) == said


@pytest.mark.parametrize("opening", "\"'“「《【")
@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("=", ">5", "甲等于大于五"),
        ("=", ">乙", "甲等于大于乙"),
        ("<", "=乙", "甲小于等于乙"),
        ("+", "-5", "甲加负五"),
        ("-", ">5", "甲-大于五"),
    ],
)
def test_signs_that_a_quotation_mark_parts_are_read_one_by_one(before, opening, after, said):
    assert spoken(f"甲{before}{opening}{after}", []) == said


@pytest.mark.parametrize("written", ["42/约10天", "到(>0.5<42km)"])
def test_a_number_that_is_misread_rejects(written):
    """wetext reads them as 约一分之四十二零天 and 小于四两公里."""
    with pytest.raises(DialogueRejected) as rejected:
        spoken(written, [])
    assert rejected.value.reason == "not_heard"


def test_every_whole_number_that_is_read_is_known_as_heard():
    draw = random.Random(3)
    normalizer = wetext.Normalizer(lang="zh", operator="tn")
    numbers = [draw.randrange(1, 10 ** draw.randint(1, 8)) for _ in range(300)]
    numbers += [
        draw.choice([1, 2, 9]) * 10 ** draw.randint(1, 8) + draw.choice([0, 5, 10, 105, 5000]) for _ in range(300)
    ]
    for number in numbers:
        said = normalizer.normalize(f"共{number}元")
        assert _readings(str(number)).fullmatch(said[1:-1]), (number, said)
