"""What the grammar knows about nouns: how they count, and what may be said of them.

The facts hold for every class of VOC2007, MS-COCO and NUS-WIDE; a noun that is not listed is an
ordinary countable thing.
"""

from __future__ import annotations

from comc_utils.sentences.label_words import NAMES_WITHOUT_ARTICLE

KINDS: dict[str, frozenset[str]] = {
    kind: frozenset(names.split(", "))
    for kind, names in {
        "person": "person, swimmers",
        "animal": (
            "bird, birds, cat, cow, dog, horse, horses, sheep, elephant, bear, zebra, giraffe, animal, elk, "
            "fish, fox, tiger, whales, rabbit"
        ),
        "vehicle": (
            "aeroplane, airplane, plane, bicycle, boat, boats, bus, car, cars, motorbike, motorcycle, train, "
            "truck, vehicle, skateboard, surfboard, kite"
        ),
        "furniture": (
            "chair, dining table, potted plant, sofa, couch, tv monitor, bench, bed, toilet, tv, oven, "
            "refrigerator, sink, microwave, statue, lamp, clock"
        ),
        "food": (
            "banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, food, "
            "wine glass, cup, bowl, bottle"
        ),
        "scene": (
            "airport, beach, bridge, buildings, castle, cityscape, clouds, garden, glacier, grass, harbor, "
            "house, lake, moon, mountain, ocean, plants, railroad, rainbow, reflection, road, rocks, sand, "
            "sky, snow, street, sun, sunset, temple, tower, town, tree, valley, water, waterfall, window, "
            "frost, coral, fire, nighttime"
        ),
        "event": ("dancing, earthquake, protest, running, soccer, sports, surf, wedding, military, police"),
    }.items()
}
"""Kind of noun: the class names of that kind."""

PLURAL_NAMES = frozenset(
    {
        "birds", "boats", "buildings", "cars", "clouds", "flags", "flowers", "horses", "plants", "rocks",
        "scissors", "skis", "swimmers", "whales",
    }
)  # fmt: skip
"""Names that are plural already."""

MASS_NOUNS = NAMES_WITHOUT_ARTICLE - PLURAL_NAMES
"""Names that take no article and no plural."""

DEFINITE_NAMES = frozenset(["moon", "ocean", "sky", "sun"])
"""Names of which there is one: they take 'the'."""

ADJECTIVES: dict[str, tuple[str, ...]] = {
    "person": ("young", "old", "smiling", "tall", "happy", "tired", "busy"),
    "animal": ("small", "large", "young", "old", "brown", "white", "black", "curious", "sleepy"),
    "vehicle": ("red", "blue", "old", "new", "white", "yellow", "shiny", "rusty", "green", "black"),
    "furniture": ("wooden", "old", "modern", "large", "small", "white", "brown", "elegant"),
    "food": ("fresh", "small", "large", "red", "green", "colourful"),
    "scene": ("beautiful", "quiet", "distant", "bright", "wide"),
    "event": (),
    "thing": ("small", "large", "old", "new", "red", "blue", "green", "black", "white", "colourful"),
}
"""Kind of noun: adjectives that suit it."""

ACTIONS: dict[str, tuple[str, ...]] = {
    "person": (
        "standing", "sitting", "walking", "waiting", "smiling", "posing", "talking", "resting",
        "looking around", "relaxing",
    ),
    "animal": (
        "resting", "sleeping", "standing", "walking", "looking around", "playing", "waiting", "lying down",
    ),
    "vehicle": ("parked", "waiting", "stopped", "moving slowly", "left alone", "shown from the side"),
    "furniture": ("standing in the corner", "arranged neatly", "placed in the middle", "set up"),
    "food": ("laid out", "served", "placed in the middle", "left untouched"),
    "scene": ("stretching into the distance", "seen from afar"),
    "event": ("going on", "happening"),
    "thing": ("lying around", "placed in the middle", "left behind", "on display", "set aside"),
}  # fmt: skip
"""Kind of noun: participles that suit it."""

RELATIONS = (
    "next to", "beside", "near", "in front of", "behind", "close to", "to the left of",
    "to the right of", "together with", "alongside", "not far from", "surrounded by", "across from",
)  # fmt: skip
"""What stands between two noun phrases."""

PLACES = (
    "in a park", "in a quiet park", "in a meadow", "in a green field", "on a lawn", "by the shore",
    "at the seaside", "on a sandy coast", "in the city", "on a busy square", "on the pavement",
    "in a parking lot", "in the desert",
    "in a forest", "in the woods", "by a pond", "at the riverside", "in a small village", "in the countryside",
    "on a farm", "in a living room", "in a kitchen", "in a cozy room", "in a bright studio", "in an office",
    "in a hallway", "in a museum", "at a market", "in front of a wall", "in the backyard", "on a hill",
    "in a busy station", "under a roof", "on a wooden floor", "on a plain background", "in the suburbs",
)  # fmt: skip
"""Places that are no class of the three benchmarks; those that name a label are left out all the same."""

LIGHTS = (
    "at night", "at dusk", "at dawn", "in the morning", "in the evening", "on a sunny day", "on a foggy day",
    "on a rainy day", "on a cloudy afternoon", "in bright daylight", "in soft light", "in the fog", "in winter",
    "in summer", "under a grey haze", "in the shade", "after the rain", "on a warm day",
)  # fmt: skip
"""Times of day, seasons and light."""

OPENINGS = (
    "a photo of", "a picture of", "an image of", "a close-up of", "a photograph showing", "a snapshot of",
    "a view of", "a blurry photo of", "a bright photo of", "a black and white photo of", "an old photo of",
)  # fmt: skip
"""Openings that a noun phrase completes."""

NUMBERS = ("two", "three", "four", "several", "a few", "some", "many", "a pair of", "a group of")
"""Words before a plural."""


def kind_of(class_name: str) -> str:
    """Kind of a class; 'thing' where nothing more is known."""
    return next((kind for kind, names in KINDS.items() if class_name in names), "thing")
