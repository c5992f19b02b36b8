import pytest

from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.rewriting import english


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Write to a.b@b.com.", "Write to a dot b at b dot com."),
        ("See https://www.example.org/help.", "See example dot org slash help."),
        ("See http://example.org/a/b/c?q=1#x—now", "See example dot org, now"),
        ("See http://example.org/a/b/c...then", "See example dot org, then"),
        ("GIVE ME A SUMMARY OF EXAMPLE.COM", "Give me a summary of example dot com"),
        ("Use C++, C#, .NET, Q&A and R&B.", "Use C plus plus, C sharp, dot net, Q and A and R and B."),
        ("A/B testing, TCP/IP and his/her bag", "A-B testing, TCP slash IP and his or her bag"),
        ("2+2=4, 3 < 4, 8 - 3 = 5", "Two plus two equals four, three less than four, eight minus three equals five"),
        ("HEAD~1 is ~5 km away", "HEAD tilde one is about five kilometers away"),
        ("Take item(s) #1 & 2 @ home", "Take items number one and two at home"),
        ("He said \"yes\" (softly) – then 'no'...", "He said yes, softly, then no."),
        ("Well... okay... And?!", "Well, okay. And?"),
        ("the dogs' bowl, rock 'n' roll, don't", "The dogs' bowl, rock 'n' roll, don't"),
        ("i think so. so do i", "I think so. So do I"),
        ("At 5pm.I know.Yes", "At five p.m. I know. Yes"),
        ("Dear ____, your_name", "Dear blank, your name"),
        ("fit for purpose\\r", "Fit for purpose"),
        ("50%off, 0x1F, 1 000 000", "Fifty percent off, zero x one F, one million"),
        ("1/2, 2 1/2 kg, 1/2 mi, 7/2x", "One half, two and a half kilograms, one half mile, seven over two x"),
        ('take "5", 6" and 5\' and 5\'10"', "Take five, six inches and five feet and five foot ten"),
        (
            "a ≠ b, 3,14, 1,500k",
            "A is not equal to b, three comma fourteen, one thousand five hundred thousand",
        ),
        ("café naïve", "Cafe naive"),
        ("Dr. Smith vs. Mrs. Brown, e.g. now, etc.", "Doctor Smith versus Missus Brown, for example now, et cetera."),
        ("No. 5 St. James St., approx. 5", "Number five Saint James Street, approximately five"),
        ("Henry VIII, World War II, Chapter IV and I", "Henry the eighth, World War two, Chapter four and I"),
        ("George W. Bush, J.R.R. Tolkien. Vitamin C. However", "George W Bush, J R R Tolkien. Vitamin C. However"),
        ("the U.S. Navy, US law, IT and the WHO", "The U.S. Navy, U.S. law, I.T. and the W.H.O."),
        ("WHAT IS THE BEST WAY TO LEARN HTML?", "What is the best way to learn HTML?"),
        ("NASA and HTML, SMTP, TCP", "NASA and HTML, SMTP, TCP"),
        ("a PhD on WiFi", "A Ph.D. on Wi-Fi"),
    ],
)
def test_english_is_read_out(written, said):
    assert english.spoken(written, []) == said


def test_a_symbol_without_a_reading_is_left_to_be_found():
    assert "¶" in english.spoken("a ¶ b", [])


def test_a_text_full_of_accents_is_another_language():
    with pytest.raises(DialogueRejected, match="accents"):
        english.spoken("Où êtes-vous passé? Là, à côté.", [])
