"""The English words and sentences of the story generator: data only, read by `stories`.

A word with two forms is written "masculine/feminine" (English needs none). In a sentence `[rule]` is
expanded, `{x.form}` is a form of a participant, `{x?he/she}` chooses by gender. The participants are:
x, y, z people or animals; o, p things; l a place; s a hiding spot; f a meal; v a sight.
"""

from __future__ import annotations

from manticore.stories.grammar import words

# One sentence is one line, however long.
# ruff: noqa: E501


def _a(phrase: str) -> str:
    """The words with their indefinite article."""
    return f"{'an' if phrase[0] in 'aeiou' or phrase.startswith('honest') else 'a'} {phrase}"


def thing_forms(noun: str, gender: str, colour: str) -> dict[str, str]:
    """Forms of a coloured thing."""
    return {"the": f"the {noun}", "new": _a(f"{colour} {noun}"), "colour": colour}


def animal_forms(noun: str, gender: str, trait: str) -> dict[str, str]:
    """Forms of an animal."""
    return {"the": f"the {noun}", "new": _a(f"{trait} {noun}")}


def person_forms(trait: str) -> dict[str, str]:
    """Forms of a person's trait: alone, and with the article."""
    return {"trait": trait, "a_trait": _a(trait)}


NAMES = {
    "f": words(
        "Mira Anna Clara Nell Ruth Elsie Ivy Sofia Greta Maud Tilda Rosa Lena Hazel Freya Edith "
        "Polly Wanda June Agnes Dora Violet Martha Beth Cora Flora Ines Nora Olive Thea"
    ),
    "m": words(
        "Tom Oscar Peter Hugo Felix Jonas Simon Arthur Ned Leo Walter Otto Max Emil Gus Henry "
        "Ivan Jack Karl Luke Martin Noah Oliver Paul Rufus Sam Theo Victor Will Adam"
    ),
}
JOBS = words(
    "baker gardener painter shepherd carpenter miller sailor weaver cook teacher farmer potter "
    "beekeeper clockmaker shoemaker tailor fisher woodcutter blacksmith musician"
)
TRAITS = words(
    "kind brave curious shy cheerful patient clever gentle stubborn quiet generous careful honest "
    "lively thoughtful"
)
MOODS = (
    "happy", "calm", "proud", "grateful", "hopeful", "tired but happy", "very sleepy", "full of joy",
    "a little sad", "full of wonder", "content", "at peace",
)  # fmt: skip
HOMES = (
    "in a village by the sea", "in a small house near the river", "at the edge of a forest",
    "in a town among the hills", "on a quiet island", "beside an old windmill",
    "in a valley full of apple trees", "at the foot of a mountain", "above a little shop",
    "in a cottage with a blue door", "at the end of a long road", "near the harbour",
    "in a house made of stone", "on the shore of a lake",
)  # fmt: skip
THINGS = tuple(
    (noun, "m")
    for noun in words(
        "lantern flute basket kite blanket drum bell box hat umbrella scarf cup mirror ball comb bag "
        "key boat book map ring whistle candle jar coat feather"
    )
)
COLOURS = words("red blue green yellow white black golden silver purple brown grey pink orange")
ANIMALS = tuple(
    (noun, "")
    for noun in words(
        "fox owl goat donkey squirrel bear hare cat heron hedgehog badger crow deer tortoise"
    )
)
ANIMAL_TRAITS = words("old young thin large small grey sleepy wise hungry friendly")
PLACES = tuple(
    {"to": f"to the {noun}", "at": f"{at} the {noun}"}
    for at, noun in (
        ("in", "forest"), ("by", "lake"), ("at", "old mill"), ("on", "mountain"), ("at", "market"),
        ("at", "lighthouse"), ("in", "ruined castle"), ("on", "beach"), ("in", "cave"),
        ("in", "orchard"), ("by", "waterfall"), ("in", "meadow"), ("on", "wooden bridge"),
        ("in", "empty tower"), ("in", "rose garden"), ("by", "deep well"),
    )
)  # fmt: skip
SPOTS = (
    "under a flat stone", "inside a hollow tree", "behind a broken wall", "under the roots of an oak",
    "between two rocks", "in an old barrel", "under a bench", "behind a thick bush",
    "under a heap of dry leaves", "inside a clay pot", "beneath a fallen log", "in a hole in the ground",
)  # fmt: skip
FOODS = (
    "bread and honey", "warm soup", "apple pie", "roasted chestnuts", "cheese and pears", "plum cake",
    "oat biscuits", "fresh figs", "rice pudding", "boiled eggs", "sweet grapes", "pancakes with jam",
    "walnuts and raisins", "baked potatoes", "cherry tart",
)  # fmt: skip
SIGHTS = (
    "a white heron", "a double rainbow", "a tall ship", "a family of deer", "a golden eagle",
    "a cloud shaped like a horse", "a line of ants", "a blue dragonfly", "a snake asleep in the sun",
    "a flock of wild geese", "a very old statue", "a bright green frog", "a spider's web full of dew",
    "a column of smoke",
)  # fmt: skip

RULES = {
    # Part one: who, where, with what.
    "opening": (
        "Once upon a time there was {x.a_trait} {x.job} called {x.name}, who lived {x.home}.",
        "Long ago, {x.home}, there lived {x.a_trait} {x.job} whose name was {x.name}.",
        "This is the story of {x.name}, {x.a_trait} {x.job} who lived {x.home}.",
        "{x.name} was {x.a_trait} {x.job}. {x?He/She} lived {x.home}.",
        "There was once {x.a_trait} {x.job}, and {x?his/her} name was {x.name}. {x?His/Her} home was {x.home}.",
        "Many years ago {x.a_trait} {x.job} lived {x.home}. Everyone called {x?him/her} {x.name}.",
    ),
    "owns": (
        "{x?He/She} had {o.new} and took it everywhere.",
        "Of all {x?his/her} things, {x?he/she} loved {o.new} the most.",
        "{x?His/Her} grandmother had given {x?him/her} {o.new}.",
        "{x?He/She} never left the house without {o.new}.",
        "In {x?his/her} hands {x?he/she} always carried {o.new}.",
        "On a shelf above {x?his/her} bed {x?he/she} kept {o.new}.",
        "{x?He/She} had once bought {o.new} from a passing merchant.",
    ),
    # Part two: the day, the friend, the road.
    "weather": (
        "One [sky] morning, [noticed].",
        "It was a [sky] day, and [noticed].",
        "One day in [season], [noticed].",
        "The morning was [sky]. {x.name} looked out and saw that [noticed].",
        "That year [season] came early, and [noticed].",
    ),
    "sky": (
        "sunny",
        "windy",
        "foggy",
        "cold",
        "warm",
        "bright",
        "cloudy",
        "still",
        "rainy",
        "frosty",
    ),
    "season": ("spring", "summer", "autumn", "winter"),
    "noticed": (
        "the birds were singing",
        "the streets were empty",
        "the air smelled of bread",
        "the bells were ringing",
        "the grass was wet",
        "the wind was playing with the leaves",
        "the whole world seemed to be waiting",
        "the dogs were barking at nothing",
        "the smoke rose straight from the chimneys",
    ),
    "meets": (
        "A friend came to the door. It was {y.name}, the {y.job}, with {p.new}.",
        "On the road {x.name} met {y.name}, {y.a_trait} {y.job} who was carrying {p.new}.",
        "{y.name}, who was {y.a_trait} {y.job}, came to visit and brought {p.new}.",
        "{x.name} had a friend, {y.name} the {y.job}, who arrived that day with {p.new}.",
        "Just then {y.name} the {y.job} came along the path, and in {y?his/her} bag was {p.new}.",
        "{x.name} went to see {y.name}, {x?his/her} neighbour, and found {y?him/her} cleaning {p.new}.",
    ),
    "invites": (
        "“Let us go {l.to},” said {x.name}.",
        "“I have never been {l.to},” said {y.name}. “Will you come with me?”",
        "“Come with me {l.to},” {y.name} said, “and we will be back before dark.”",
        "{x.name} wanted to go {l.to}, and {y.name} wanted to go too.",
        "“What a day to walk {l.to}!” cried {y.name}.",
        "They talked for a while and decided to go {l.to}.",
        "“Do you know the way {l.to}?” asked {x.name}. “I think so,” said {y.name}.",
    ),
    "walks": (
        "So the two of them set off [manner].",
        "They walked [manner] and talked about old times.",
        "They went [manner], and the road was [road].",
        "The road was [road], but they did not mind.",
        "They sang [manner] all the way.",
        "It took them [time] to get there.",
        "After [time] they arrived.",
    ),
    "manner": (
        "slowly",
        "quickly",
        "side by side",
        "without a care",
        "in high spirits",
        "hand in hand",
    ),
    "road": ("long", "steep", "narrow", "muddy", "full of stones", "easy", "lined with tall trees"),
    "time": ("an hour", "two hours", "most of the morning", "a short while", "half a day"),
    # Part three: what happened.
    "give": (
        "{x.name} gave {o.the} to {y.name}.",
        "“This is for you,” said {x.name}, and put {o.the} in front of {y.name}.",
        "{y.name} liked {o.the} so much that {x.name} let {y?him/her} keep it.",
        "“Please take {o.the},” {x.name} said to {y.name}. “You need it more than I do.”",
        "{x.name} was tired of {o.the} and handed it over to {y.name}.",
        "{y.name} asked for {o.the}, and {x.name} agreed with a [smile] smile.",
        "They made a bet. {x.name} lost, so {o.the} went to {y.name}.",
    ),
    "smile": ("warm", "small", "shy", "broad", "friendly"),
    "swap": (
        "They decided to make a trade: {x.name} took {p.the}, and {y.name} took {o.the}.",
        "“Give me {p.the} and I will give you {o.the},” said {x.name}. {y.name} agreed at once.",
        "{x.name} and {y.name} exchanged {o.the} and {p.the}, and both were pleased.",
        "In the end {x.name} had {p.the} and {y.name} had {o.the}, for they had made a fair trade.",
        "“Shall we swap?” asked {x.name}. So {y.name} got {o.the}, and {x.name} got {p.the}.",
    ),
    "hide": (
        "{x.name} was afraid of thieves and hid {o.the} {s.at}.",
        "{o.the} was in the way, so {x.name} left it {s.at}.",
        "When nobody was looking, {x.name} put {o.the} {s.at}.",
        "“I will leave {o.the} here, {s.at},” said {x.name}, “and nobody will find it.”",
        "To keep it safe, {x.name} placed {o.the} {s.at}.",
        "{x.name} stumbled and dropped {o.the}, and it landed {s.at}.",
    ),
    "uncover": (
        "But {x.name} had seen everything and took {o.the} back.",
        "A little later {x.name} found {o.the} by chance and kept it.",
        "“Look what I have found!” cried {x.name}, holding up {o.the}.",
        "{x.name} could not bear to leave {o.the} there and went back to fetch it.",
        "Before long {x.name} came upon {o.the} and picked it up.",
    ),
    "find": (
        "Suddenly {x.name} saw something in the [grass]. It was {o.new}!",
        "In the [grass] {x.name} found {o.new} and picked it up.",
        "“What is this?” said {x.name}, and pulled {o.new} out of the [grass].",
        "{x.name} nearly stepped on {o.new}, which was lying in the [grass].",
        "Something was shining in the [grass]. {x.name} bent down and picked up {o.new}.",
    ),
    "grass": ("tall grass", "sand", "mud", "shadows", "dry leaves", "dust"),
    "animal": (
        "There they met {z.new} named {z.name}.",
        "Behind them somebody coughed. It was {z.new}. “My name is {z.name},” said {z.the}.",
        "{z.new} was sitting {l.at}. “Good day,” {z?he/she} said. “I am {z.name}.”",
        "{l.at} lived {z.new}, and {z?his/her} name was {z.name}.",
        "Before long {z.new} came up to them. They called {z?him/her} {z.name}.",
    ),
    "chat": (
        "“Are you lost?” asked {z.name}. “Not yet,” said {x.name}.",
        "“I have not spoken to anyone for [long],” said {z.name}.",
        "{z.name} told them a story about [tale].",
        "“What brings you here?” {z.name} asked. {x.name} did not know what to answer.",
        "{x.name} asked {z?him/her} about [tale], but {z.name} only laughed.",
    ),
    "long": ("a week", "a month", "a whole year", "seven days", "a hundred days"),
    "tale": (
        "the moon",
        "a lost king",
        "the first winter",
        "a talking river",
        "the giants",
        "the sea",
    ),
    "meal": (
        "They sat down and ate {f.name}.",
        "By noon they were hungry, so they ate {f.name} in the shade.",
        "{x.name} opened a bag, and they all ate {f.name}.",
        "“I am hungry,” said {y.name}. So they stopped and ate {f.name}.",
        "They rested for a while and ate {f.name}, which tasted better than ever.",
        "For lunch they ate {f.name}, and nobody spoke until everything was gone.",
    ),
    "sight": (
        "{x.name} looked up and saw {v.a}.",
        "“Look over there!” {x.name} whispered. {x?He/She} had seen {v.a}.",
        "For a moment {x.name} saw {v.a}, and then it was gone.",
        "While {y.name} was resting, {x.name} saw {v.a}.",
        "{x.name} stood still, because {x?he/she} had just seen {v.a}.",
        "Not far away {x.name} saw {v.a} and smiled.",
    ),
    "then": (
        "The wind began to blow [softly].",
        "For a while nobody said a word.",
        "The sun went behind a cloud.",
        "Somewhere a bird called [softly].",
        "Time passed [softly].",
        "{x.name} laughed and {y.name} laughed too.",
        "“I could stay here for ever,” said {y.name}.",
        "“Did you hear that?” asked {x.name}. It was only the wind.",
        "A few drops of rain fell, and then it was dry again.",
    ),
    "softly": ("softly", "gently", "slowly", "strangely", "without pause"),
    # Part four: the way home.
    "return": (
        "When the sun went down, they went home.",
        "At last it grew dark, and they said goodbye.",
        "In the evening they walked back [manner].",
        "The stars were out when they reached home.",
        "“It is late,” said {y.name}, and they turned back.",
        "Then the day was over.",
    ),
    "feels": (
        "{x.name} was {x.mood}.",
        "That night {x.name} was {x.mood}.",
        "{x.name} sat by the fire and was {x.mood}.",
        "As for {x.name}, {x?he/she} was {x.mood}.",
        "Nobody could see it, but {x.name} was {x.mood}.",
    ),
    # Part five: what is asked again.
    "ask_holder": (
        "Who had {o.the} at the end?",
        "In the end, who had {o.the}?",
        "Who had {o.the} now?",
    ),
    "reply_holder": ("{x.name} had {o.the}.",),
    "ask_hidden": (
        "Where was {o.the} at the end?",
        "In the end, where was {o.the}?",
        "Where was {o.the} now?",
    ),
    "reply_hidden": ("{o.the} was {s.at}.",),
    "ask_place": ("Where did {x.name} and {y.name} go?", "Where did they go that day?"),
    "reply_place": ("They went {l.to}.",),
    "ask_home": ("Where did {x.name} live?",),
    "reply_home": ("{x.name} lived {x.home}.",),
    "ask_job": ("What was the work of {x.name}?", "What did {x.name} do for a living?"),
    "reply_job": ("{x.name} was a {x.job}.",),
    "ask_colour": ("What colour was {o.the}?", "Do you remember the colour of {o.the}?"),
    "reply_colour": ("{o.the} was {o.colour}.",),
    "ask_meal": ("What did they eat?", "What did {x.name} and {y.name} eat?"),
    "reply_meal": ("They ate {f.name}.",),
    "ask_sight": ("What did {x.name} see?",),
    "reply_sight": ("{x.name} saw {v.a}.",),
    "ask_animal": ("What was the name of {z.the}?", "What was {z.the} called?"),
    "reply_animal": ("{z.the} was called {z.name}.",),
    "ask_mood": ("How did {x.name} feel that night?", "How was {x.name} at the end of the day?"),
    "reply_mood": ("{x.name} was {x.mood}.",),
    "ask_giver": ("Who gave {o.the} to {y.name}?",),
    "reply_giver": ("{x.name} gave {o.the} to {y.name}.",),
    "ask_finder": ("Who found {o.the}?",),
    "reply_finder": ("{x.name} found {o.the}.",),
}
