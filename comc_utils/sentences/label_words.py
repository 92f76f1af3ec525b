"""The words of the three label sets: names, synonyms, narrower nouns, misleading compounds."""

from __future__ import annotations

VOC2007_NAMES: dict[str, str] = {
    "aeroplane": "aeroplane",
    "bicycle": "bicycle",
    "bird": "bird",
    "boat": "boat",
    "bottle": "bottle",
    "bus": "bus",
    "car": "car",
    "cat": "cat",
    "chair": "chair",
    "cow": "cow",
    "diningtable": "dining table",
    "dog": "dog",
    "horse": "horse",
    "motorbike": "motorbike",
    "person": "person",
    "pottedplant": "potted plant",
    "sheep": "sheep",
    "sofa": "sofa",
    "train": "train",
    "tvmonitor": "tv monitor",
}
"""Official name: the name that texts use, in the official order."""

COCO_NAMES: tuple[str, ...] = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange",
    "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant",
    "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""MS-COCO's 80 categories in the official order."""

NUSWIDE_NAMES: tuple[str, ...] = (
    "airport", "animal", "beach", "bear", "birds", "boats", "book", "bridge", "buildings", "cars",
    "castle", "cat", "cityscape", "clouds", "computer", "coral", "cow", "dancing", "dog",
    "earthquake", "elk", "fire", "fish", "flags", "flowers", "food", "fox", "frost", "garden",
    "glacier", "grass", "harbor", "horses", "house", "lake", "leaf", "map", "military", "moon",
    "mountain", "nighttime", "ocean", "person", "plane", "plants", "police", "protest", "railroad",
    "rainbow", "reflection", "road", "rocks", "running", "sand", "sign", "sky", "snow", "soccer",
    "sports", "statue", "street", "sun", "sunset", "surf", "swimmers", "tattoo", "temple", "tiger",
    "tower", "town", "toy", "train", "tree", "valley", "vehicle", "water", "waterfall", "wedding",
    "whales", "window", "zebra",
)  # fmt: skip
"""NUS-WIDE's 81 concepts in the order of the benchmark's concept list."""

NAMES_WITHOUT_ARTICLE: frozenset[str] = frozenset(
    {
        "birds", "boats", "broccoli", "buildings", "cars", "clouds", "coral", "dancing", "fire",
        "flags", "flowers", "food", "frost", "grass", "horses", "military", "nighttime", "plants",
        "police", "rocks", "running", "sand", "scissors", "skis", "snow", "soccer", "sports",
        "surf", "swimmers", "water", "whales",
    }
)  # fmt: skip
"""Class names that are plural or uncountable."""

_PERSON = ("man", "woman", "child", "boy", "girl")

VOC2007_SYNONYMS: dict[str, tuple[str, ...]] = {
    "aeroplane": ("airplane", "plane", "aircraft", "jet"),
    "bicycle": ("bike",),
    "bird": ("pigeon", "seagull"),
    "boat": ("ship", "sailboat", "ferry"),
    "bottle": ("wine bottle", "water bottle"),
    "bus": ("minibus",),
    "car": ("automobile", "sedan"),
    "cat": ("kitten",),
    "cow": ("bull",),
    "dining table": ("table",),
    "dog": ("puppy",),
    "horse": ("pony",),
    "motorbike": ("motorcycle", "scooter"),
    "person": _PERSON,
    "potted plant": ("houseplant", "plant"),
    "sheep": ("lamb",),
    "sofa": ("couch",),
    "train": ("locomotive",),
    "tv monitor": ("tv", "television", "monitor", "screen"),
}

COCO_SYNONYMS: dict[str, tuple[str, ...]] = {
    "person": _PERSON,
    "bicycle": ("bike",),
    "car": ("automobile",),
    "motorcycle": ("motorbike",),
    "airplane": ("plane", "aeroplane", "aircraft"),
    "train": ("locomotive",),
    "truck": ("lorry",),
    "boat": ("ship",),
    "traffic light": ("traffic signal", "stoplight"),
    "fire hydrant": ("hydrant",),
    "cat": ("kitten",),
    "dog": ("puppy",),
    "horse": ("pony",),
    "sheep": ("lamb",),
    "cow": ("bull",),
    "backpack": ("rucksack",),
    "umbrella": ("parasol",),
    "handbag": ("purse",),
    "tie": ("necktie",),
    "frisbee": ("flying disc",),
    "sports ball": ("ball",),
    "baseball bat": ("bat",),
    "baseball glove": ("baseball mitt",),
    "tennis racket": ("racket",),
    "wine glass": ("wineglass",),
    "cup": ("mug",),
    "hot dog": ("hotdog",),
    "donut": ("doughnut",),
    "couch": ("sofa",),
    "potted plant": ("houseplant", "pot plant"),
    "dining table": ("table", "dinner table"),
    "tv": ("television", "tv monitor"),
    "laptop": ("laptop computer",),
    "mouse": ("computer mouse",),
    "remote": ("remote control",),
    "keyboard": ("computer keyboard",),
    "cell phone": ("mobile phone", "phone", "smartphone"),
    "microwave": ("microwave oven",),
    "oven": ("stove",),
    "sink": ("washbasin",),
    "refrigerator": ("fridge",),
    "teddy bear": ("stuffed bear",),
    "hair drier": ("hair dryer", "blow dryer"),
}

NUSWIDE_SYNONYMS: dict[str, tuple[str, ...]] = {
    "airport": ("airfield",),
    "beach": ("seashore",),
    "birds": ("bird",),
    "boats": ("boat", "ship"),
    "buildings": ("building",),
    "cars": ("car", "automobile"),
    "castle": ("fortress",),
    "cat": ("kitten",),
    "cityscape": ("skyline",),
    "clouds": ("cloud",),
    "coral": ("coral reef",),
    "dog": ("puppy",),
    "fire": ("flame",),
    "flags": ("flag",),
    "flowers": ("flower", "blossom"),
    "harbor": ("harbour", "port"),
    "horses": ("horse", "pony"),
    "ocean": ("sea",),
    "person": _PERSON,
    "plane": ("airplane", "aeroplane"),
    "plants": ("plant",),
    "protest": ("demonstration",),
    "railroad": ("railway",),
    "rocks": ("rock", "boulder"),
    "statue": ("sculpture",),
    "sunset": ("sundown",),
    "swimmers": ("swimmer",),
    "town": ("village",),
    "train": ("locomotive",),
    "whales": ("whale",),
}

NARROWER_NOUNS: dict[str, tuple[str, ...]] = {
    "airplane": ("airliner", "jet", "jetliner", "biplane", "air plane"),
    "backpack": ("book bag", "back pack"),
    "bear": ("grizzly", "panda"),
    "bird": (
        "pigeon", "seagull", "gull", "duck", "goose", "parrot", "owl", "eagle", "swan", "crow",
        "hawk", "sparrow", "penguin", "pelican", "peacock", "flamingo", "hummingbird", "heron",
        "ostrich", "parakeet", "rooster", "dove", "finch", "stork",
    ),
    "boat": (
        "sailboat", "canoe", "kayak", "yacht", "ferry", "raft", "gondola", "rowboat", "speedboat",
        "vessel", "tugboat", "motorboat", "barge",
    ),
    "bus": ("double decker",),
    "cake": ("cup cake", "cupcake", "cheesecake"),
    "car": ("taxi", "cab", "suv", "sedan", "jeep", "minivan", "van", "convertible", "hatchback"),
    "cat": ("kitty", "feline", "tabby"),
    "cell phone": ("cellphone", "iphone", "smart phone", "flip phone"),
    "chair": ("armchair", "recliner"),
    "clock": ("clocktower",),
    "couch": ("loveseat", "love seat", "futon"),
    "cow": ("cattle", "calf", "calves", "ox", "heifer", "steer"),
    "cup": ("teacup",),
    "dog": (
        "pup", "poodle", "retriever", "bulldog", "terrier", "dachshund", "labrador", "pug", "hound",
        "canine", "corgi", "chihuahua", "husky", "collie", "beagle", "dalmatian",
    ),
    "handbag": ("shoulder bag", "hand bag"),
    "horse": ("foal", "mare", "stallion", "colt", "horseback"),
    "motorcycle": (
        "motor bike", "motor cycle", "scooter", "moped", "dirt bike", "vespa", "motor scooter",
    ),
    "person": (
        "kid", "baby", "toddler", "infant", "guy", "lady", "gentleman", "gentlemen", "player",
        "surfer", "skier", "snowboarder", "skateboarder", "skater", "batter", "catcher", "umpire",
        "rider", "pedestrian", "cyclist", "bicyclist", "motorcyclist", "biker", "tourist",
        "passenger", "couple", "family", "crowd", "audience", "spectator", "chef", "soldier",
        "officer", "policeman", "policemen", "firefighter", "fireman", "firemen", "cowboy", "bride",
        "groom", "student", "worker", "human", "adult", "teenager", "teen", "individual", "someone",
        "somebody", "athlete", "jockey", "waiter", "waitress", "fisherman", "fishermen",
        "businessman", "businessmen", "snowboarders", "male", "female", "mother", "father", "son",
        "daughter", "dad", "mom", "friend", "driver", "vendor", "shopper", "performer", "hitter",
        "wakeboarder", "commuter", "customer", "bystander", "onlooker",
    ),
    "orange": ("tangerine", "clementine", "orange slice"),
    "potted plant": ("house plant", "plant pot"),
    "refrigerator": ("freezer",),
    "remote": ("wii controller", "wii remote", "game controller", "video game controller"),
    "sandwich": ("burger", "hamburger", "cheeseburger", "panini"),
    "sheep": ("ram", "ewe"),
    "skis": ("ski",),
    "suitcase": ("luggage", "baggage"),
    "surfboard": ("surf board", "boogie board"),
    "tennis racket": ("racquet", "tennis racquet"),
    "teddy bear": ("stuffed animal", "teddy", "stuffed toy"),
    "train": (
        "tram", "steam engine", "railcar", "train car", "subway car", "railroad car", "streetcar",
        "street car",
    ),
    "truck": ("firetruck", "fire engine", "pickup", "semi"),
    "tv": ("flat screen", "computer monitor", "computer screen", "monitor"),
    "wine glass": ("glass of wine", "glasses of wine"),
}  # fmt: skip
"""MS-COCO's class: nouns that name some of its members, and common spellings."""

COCO_NAME_OF: dict[str, str] = {
    "aeroplane": "airplane",
    "birds": "bird",
    "boats": "boat",
    "cars": "car",
    "horses": "horse",
    "motorbike": "motorcycle",
    "plane": "airplane",
    "sofa": "couch",
    "tv monitor": "tv",
}
"""Class name of VOC2007 or NUS-WIDE: MS-COCO's name of the same class, where it differs."""

NUSWIDE_NARROWER_NOUNS: dict[str, tuple[str, ...]] = {
    "beach": ("seaside", "shore", "coast"),
    "computer": ("laptop", "pc"),
    "dancing": ("dance", "dancer"),
    "fire": ("blaze",),
    "food": ("meal",),
    "grass": ("lawn",),
    "house": ("cottage", "villa"),
    "lake": ("pond",),
    "leaf": ("foliage",),
    "military": ("army", "troop"),
    "nighttime": ("night", "night time"),
    "police": ("police officer", "police man", "cop"),
    "railroad": ("train track", "railroad track"),
    "road": ("highway",),
    "rocks": ("stone",),
    "running": ("runner", "jogger", "jogging"),
    "sports": ("sport",),
    "surf": ("surfing",),
}

MISLEADING_COMPOUNDS: tuple[str, ...] = (
    "bed of", "bike lane", "bike path", "bus stop", "car seat", "cat food", "chair lift",
    "dog food", "flower bed", "hello kitty", "hot dog", "jet ski", "mickey mouse", "miss kitty",
    "orange juice", "phone booth", "ping pong table", "pool table", "power plant", "table tennis",
    "teddy bear", "toilet paper", "train station", "train track", "truck bed",
)  # fmt: skip
"""Compounds in which a class's word means another thing. A class of that name goes first."""

COLOUR_NOUNS: frozenset[str] = frozenset({"orange"})
"""Nouns that before another noun are only its colour."""

COLOURS: frozenset[str] = frozenset(
    {
        "black", "blue", "brown", "gray", "green", "grey", "orange", "pink", "purple", "red", "tan",
        "white", "yellow",
    }
)  # fmt: skip

WORDS_AFTER_A_NOUN: frozenset[str] = frozenset(
    {
        "a", "an", "and", "are", "as", "at", "behind", "being", "beside", "by", "for", "from",
        "hanging", "has", "in", "inside", "is", "it", "laying", "lying", "near", "next", "of",
        "off", "on", "or", "out", "over", "placed", "resting", "sits", "sitting", "that", "the",
        "to", "under", "while", "with",
    }
)  # fmt: skip
"""Words that show that the word before them was the noun itself, not its adjective."""
