import pytest

from duplexgen.pipeline.rewriting.quantities import spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("$12.50", "twelve dollars and fifty cents"),
        ("$1, $0.99, 5¢", "one dollar, ninety nine cents, five cents"),
        ("$1,234.56", "one thousand two hundred and thirty four dollars and fifty six cents"),
        ("$3.5 million, $1.2B", "three point five million dollars, one point two billion dollars"),
        ("£20, €30.10, ¥500", "twenty pounds, thirty euros and ten cents, five hundred yen"),
        ("20 USD, 5€", "twenty U.S. dollars, five euros"),
        ("$5-10, $5-$10", "five to ten dollars, five to ten dollars"),
        ("a $39 fee", "a thirty nine dollar fee"),
        ("1930-1940, 5-10%", "nineteen thirty to nineteen forty, five to ten percent"),
        ("pages 3–7, 5% to 10%", "pages three to seven, five percent to ten percent"),
        ("70-75db", "seventy to seventy five db"),
        ("1000, 1,000 and 1059", "one thousand, one thousand and one thousand and fifty nine"),
        ("12345", "twelve thousand three hundred and forty five"),
        ("007, 3.14, .5, 0", "zero zero seven, three point one four, zero point five, zero"),
        ("1st, 2nd, 3rd, 11th, 21st", "first, second, third, eleventh, twenty first"),
        ("the 1990s, '90s", "the nineteen nineties, nineties"),
        ("72°F, 5°C, 30°", "seventy two degrees Fahrenheit, five degrees Celsius, thirty degrees"),
        ("5 km, 10kg, 3 ft, 1 lb", "five kilometers, ten kilograms, three feet, one pound"),
        ("100 m/s, 60 mph, 5 m^2", "one hundred meters per second, sixty miles per hour, five square meters"),
        ("6'2\", 5 ft 10 in", "six foot two, five foot ten"),
        ("150 million km", "one hundred and fifty million kilometers"),
        ("a 5 km run", "a five kilometer run"),
        ("1/2, 3/4, 2 1/2, 10/3, 8/10", "one half, three quarters, two and a half, ten over three, eight out of ten"),
        ("24/7", "twenty four seven"),
        ("v2.0.1", "version two point zero point one"),
        ("192.168.1.1", "one nine two dot one six eight dot one dot one"),
        ("555-123-4567", "five five five, one two three, four five six seven"),
        ("x^2, 10^5, 10^-3", "x squared, ten to the power of five, ten to the power of minus three"),
        ("5 x 3 = 15, 3x5, 2x faster", "five times three = fifteen, three by five, two times faster"),
        ("MP3, 3D, 10-year-old", "MP three, three D, ten-year-old"),
        ("100k, 2M, 3:1", "one hundred thousand, two million, three to one"),
        ("9" * 20, " ".join(["nine"] * 20)),
    ],
)
def test_what_is_written_with_digits_is_read_out(written, said):
    assert spoken(written, []) == said
