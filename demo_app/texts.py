"""Everything the app says, in English and Chinese, and how it finds out which of the two to speak."""

from clipmini.image import FORMATS, MAX_ASPECT, MAX_PIXELS, ImageError
from clipmini.tasks.prompts import MESSAGES

LANGUAGES = ("en", "zh")

TEXTS = {
    "en": {
        "title": "clipmini: pictures and words in one space",
        "sentence": "Give it a picture and a few labels: a CLIP small enough to read tells you which words fit best. "
                    "Everything is computed on this computer; no picture leaves it.",
        "model": "Model", "parameters": "parameters", "no_model": "The model could not be loaded",
        "tab_zeroshot": "Zero-shot", "picture": "Picture", "examples": "Examples: click one",
        "labels": "Labels", "labels_info": "Separated by commas or new lines.",
        "labels_placeholder": "cat, dog, apple",
        "settings": "Prompts and settings", "template_set": "Template set",
        "templates": "Templates", "templates_info": "One a line; {} is where the label goes.",
        "none_of_these": "Offer \u201cnone of these\u201d",
        "none_info": "Everyday words compete with your labels; their share is \u201cnone of these\u201d.",
        "scale": "Scale", "scale_info": "Cosines are multiplied with it before the softmax; larger is surer. "
                                        "It starts at the model's own value.",
        "go": "Classify", "answer": "Answer", "waiting": "The answer will appear here: choose a picture, type a few "
                                                        "labels, press Classify.",
        "prompts": "The prompts that were sent", "saw": "What the model saw", "saw_info": "Resized and cropped to",
        "data": "The numbers as data",
        "label": "Label", "probability": "Probability", "cosine": "Cosine", "logit": "Logit", "none": "None of these",
        "more_labels": "{n:,} more labels", "more_prompts": "and the same for {n:,} more labels",
        "formula": "logit = {scale:.1f} \u00d7 cosine; the probabilities are the softmax of the logits.",
        "times": "Picture {picture:.0f} ms \u00b7 texts {texts:.0f} ms \u00b7 total {total:.0f} ms",
        "tab_prompts": "Prompts", "template": "Template", "compare": "Compare",
        "prompts_about": "The same picture and labels, asked in different words: how much does the sentence around a label "
                         "matter?",
        "all_vectors": "all: mean of vectors", "all_probabilities": "all: mean of probabilities",
        "tab_inside": "Look inside", "phrases": "Phrases", "phrases_info": "Things or places to find, separated by commas.",
        "inside_about": "Where in the picture does the model find your words? Seven ways of asking, none of which it was trained "
                        "for; the README tells how often each is right.",
        "method": "Method", "best_method": "the best one for this model", "find": "Find",
        "method_info": "windows asks about each part; the others read the towers. patches is how it does not work.",
        "maps": "One map for each phrase", "areas": "Which phrase where",
        "words": "Which word counts: how far the cosine falls without it",
        "phrase": "Phrase", "word": "Word", "fall": "Fall",
        "tab_saw": "What it saw", "any_text": "Any text", "show": "Show", "saw_kept": "What is cut away",
        "saw_about": "A model gets neither your file nor your sentence, but pixels of one size and numbers of word pieces.",
        "tokens_used": "{n} of {limit} tokens, start and end included", "tokens_cut": "{n} too many: the rest is cut away",
        "long_for_pieces": "the text has {n:,} characters; up to {limit:,} are shown in pieces. Shorten it.",
        "experiments": "### Where such models fail: one click each",
        "try_typographic_name": "Words in the picture", "try_negation_name": "Not", "try_counting_name": "How many?",
        "try_order_name": "Word order", "try_sides_name": "Left and right",
        "try_typographic": "A guitar with a sign that says pizza. Published CLIPs read, and often believe the sign (Goh et al. "
                           "2021); a model that learnt from drawings alone was never taught to read.",
        "try_negation": "\u201cnot a dog\u201d still names the dog: contrastive training hardly ever saw a caption that says "
                        "what is missing.",
        "try_counting": "Three slices. Captions rarely count, and mean pooling forgets how many there were.",
        "try_order": "The same words in another order. A text tower that averages its words gives both the same vector, so both "
                     "get 50 %; a Transformer could tell them apart, if training asked it to.",
        "try_sides": "The rocket is on the left. Which side a thing is on changes hardly a caption that training saw (Kamath et "
                     "al. 2023).",
        "tab_map": "Map", "no_map": "There is no map of this model yet; `clipmini map` makes one.",
        "map_about": "Drawings that the model never saw (discs) and their names (squares): what it finds alike is near. "
                     "Point at one, click it for its neighbours, drag to move, scroll to zoom; the drawings appear.",
        "film": "How it learned: a film", "film_show": "Show the film", "film_step": "Moment of the training",
        "film_about": "The same points at several steps of a training, each map aligned to the next: drag the slider.",
        "film_said": "After step {step:,} of {last:,}.",
        "own_map": "A map of your own pictures", "own_make": "Map them", "own_back": "Back to the drawings",
        "own_count": "{n:,} pictures; choose 1 to {limit:,} files, whose names become words of the map.",
        "own_pca": "{n:,} pictures by PCA. UMAP follows when it is ready; its first map takes half a minute.",
        "own_umap": "{n:,} pictures by UMAP.",
        "map_box": "drag selects", "map_home": "show all", "map_kind": "Map",
        "map_gap": "with the modality gap", "map_gap_info": "Without it each modality is centred on its own mean.",
        "map_by": "Colour by", "map_by_group": "group", "map_by_kind": "picture or word",
        "map_search": "Where would these words be?", "map_place": "Where would this picture be?", "map_near": "Nearest",
        "map_name": "Name", "map_group": "Group",
        "map_gap_said": "The modality gap: the mean picture and the mean name are {before:.2f} apart (unit vectors: at most 2); "
                        "centred, {after:.2f}.",
        "tab_matrix": "Matrix", "pictures": "Pictures", "texts": "Texts",
        "no_pictures": "There are no pictures yet: drop some files.",
        "matrix_about": "Every picture against every text: paste a list, drop some files.",
        "kind": "Show", "kind_0": "cosines", "kind_1": "which text does a picture choose?",
        "kind_2": "which picture does a text choose?",
        "matrix_csv": "The numbers as a table (CSV)",
        "which_model": "Which model",
        "which_model_info": "Automatic looks at the picture: drawings go to the CLIP of this page, photos to the photo model, "
                            "which is not CLIP.",
        "state_ready": "ready", "state_download": "will be downloaded", "state_offline": "offline",
        "loading": "Loading {name} ...", "loaded": "{name} is ready and will answer.",
        "not_here": "{name} is not on this computer, and the app was started without `--hub`, so it asks no network. {before} "
                    "goes on answering.",
        "not_loaded": "{name} could not be loaded; {before} goes on answering. {why}",
        "why_chosen": "Answered by {name}, as you chose.",
        "why_drawing": "Answered by {name}: the picture has flat areas in a few colours, as drawings have.",
        "why_photo": "Answered by {name}: the picture has fine shades, as photos have. It is not CLIP, but an ImageNet network "
                     "and a sentence encoder, joined; the licence of its picture weights is not stated.",
        "why_broken": "Answered by {name}: the picture looks like a photo, but the photo model could not be loaded.",
        "error": "This did not work", "no_picture": "There is no picture yet: upload one, paste one or use the webcam.",
    },
    "zh": {
        "title": "clipmini：让图片与文字相遇",
        "sentence": "给它一张图片和几个标签，这个小到可以通读的 CLIP 会告诉你哪个词最合适。"
                    "一切都在本机计算，图片不会离开这台电脑。",
        "model": "模型", "parameters": "个参数", "no_model": "模型无法载入",
        "tab_zeroshot": "零样本分类", "picture": "图片", "examples": "示例：点一张试试",
        "labels": "标签", "labels_info": "用逗号或换行分隔。", "labels_placeholder": "cat, dog, apple",
        "settings": "提示词与设置", "template_set": "模板组",
        "templates": "模板", "templates_info": "每行一个，{} 处填入标签。",
        "none_of_these": "加入“都不是”", "none_info": "让日常词汇与你的标签竞争，它们得到的概率之和就是“都不是”。",
        "scale": "缩放系数", "scale_info": "softmax 之前与余弦相乘，越大越自信；初始值为模型自带的值。",
        "go": "分类", "answer": "结果", "waiting": "结果会显示在这里：选一张图片，输入几个标签，然后点“分类”。",
        "prompts": "实际送入的提示词", "saw": "模型看到的图片", "saw_info": "缩放并裁剪为",
        "data": "数据形式的结果",
        "label": "标签", "probability": "概率", "cosine": "余弦", "logit": "Logit", "none": "都不是",
        "more_labels": "另外 {n:,} 个标签", "more_prompts": "其余 {n:,} 个标签同理",
        "formula": "logit = {scale:.1f} × 余弦；概率是 logit 的 softmax。",
        "times": "图片 {picture:.0f} 毫秒 · 文字 {texts:.0f} 毫秒 · 共 {total:.0f} 毫秒",
        "tab_prompts": "提示词", "template": "模板", "compare": "比较",
        "prompts_about": "同一张图片、同样的标签，换不同的说法来问：标签外面的句子有多大影响？",
        "all_vectors": "全部：向量平均", "all_probabilities": "全部：概率平均",
        "tab_inside": "看看内部", "phrases": "词语", "phrases_info": "要寻找的东西或地方，用逗号分隔。",
        "inside_about": "模型在图片的哪里找到了你的词？这里有几种已发表的方法，模型并没有为其中任何一种训练过；"
                        "README 里写着每种方法有多准。",
        "method": "方法", "best_method": "最适合这个模型的方法", "find": "寻找",
        "method_info": "windows 逐块提问，其余方法读取塔的内部；patches 是行不通的例子。",
        "maps": "每个词语一张热图", "areas": "哪里是哪个词语", "words": "哪个词重要：去掉它，余弦下降多少",
        "phrase": "词语", "word": "单词", "fall": "下降",
        "tab_saw": "它看到了什么", "any_text": "任意文字", "show": "显示", "saw_kept": "被裁掉的部分",
        "saw_about": "模型得到的既不是你的文件，也不是你的句子，而是固定大小的像素和一串子词编号。",
        "tokens_used": "用了 {n} / {limit} 个 token（含开头和结尾）", "tokens_cut": "多了 {n} 个，后面的被截掉",
        "long_for_pieces": "文字有 {n:,} 个字符，最多显示 {limit:,} 个。请缩短。",
        "experiments": "### 这类模型会在哪里失败：点一下试试",
        "try_typographic_name": "图里的字", "try_negation_name": "不是", "try_counting_name": "有几个？",
        "try_order_name": "词序", "try_sides_name": "左和右",
        "try_typographic": "一把吉他，上面贴着写有 pizza 的牌子。已发布的 CLIP 会认字，常常相信牌子（Goh et al. 2021）；"
                           "只见过图画的模型没学过认字。",
        "try_negation": "“not a dog” 只多了一个词，狗还是被提到了：对比训练几乎没见过说“没有什么”的标题。",
        "try_counting": "三块比萨。标题很少数数，而平均池化会忘记有几个。",
        "try_order": "同样的词，不同的顺序。把词向量平均的文本塔给两句同一个向量，各得 50 %；"
                     "Transformer 能分辨，前提是训练时要求它分辨。",
        "try_sides": "火箭在左边。物体在哪一边，对训练里见过的标题没有影响（Kamath et al. 2023）。",
        "tab_map": "地图", "no_map": "这个模型还没有地图；用 `clipmini map` 制作。",
        "map_about": "模型从未见过的图画（圆点）和它们的名称（方块）：模型觉得相像的就离得近。"
                     "指向一点看图，点击看邻居，拖动移动，滚轮放大，放大后会出现图画。",
        "film": "它是怎样学会的：一部短片", "film_show": "播放", "film_step": "训练的时刻",
        "film_about": "同样的点在训练的若干步，每张地图都与下一张对齐：拖动滑块。",
        "film_said": "第 {step:,} 步，共 {last:,} 步。",
        "own_map": "用你自己的图片做地图", "own_make": "制作地图", "own_back": "回到图画",
        "own_count": "{n:,} 张图片；请选择 1 到 {limit:,} 个文件，文件名会成为地图上的词。",
        "own_pca": "{n:,} 张图片，PCA。UMAP 准备好后会替换它；第一次需要半分钟。",
        "own_umap": "{n:,} 张图片，UMAP。",
        "map_box": "拖动以框选", "map_home": "显示全部", "map_kind": "地图",
        "map_gap": "保留模态间隙", "map_gap_info": "去掉之后，图片与文字各自减去自己的平均。",
        "map_by": "颜色表示", "map_by_group": "类别", "map_by_kind": "图片或文字",
        "map_search": "这些词会在哪里？", "map_place": "这张图片会在哪里？", "map_near": "最近的",
        "map_name": "名称", "map_group": "类别",
        "map_gap_said": "模态间隙：图片的平均与名称的平均相距 {before:.2f}（单位向量最多为 2），各自居中后为 {after:.2f}。",
        "tab_matrix": "矩阵", "pictures": "图片", "texts": "文字", "no_pictures": "还没有图片：请拖入几个文件。",
        "matrix_about": "每张图片与每段文字两两相比：贴上一串词，拖入几个文件。",
        "kind": "显示", "kind_0": "余弦", "kind_1": "图片选哪段文字？", "kind_2": "文字选哪张图片？",
        "matrix_csv": "数字表格（CSV）",
        "which_model": "用哪个模型",
        "which_model_info": "“automatic”会先看图片：图画交给本页的 CLIP，照片交给照片模型（它不是 CLIP）。",
        "state_ready": "已就绪", "state_download": "将会下载", "state_offline": "离线",
        "loading": "正在载入 {name} ……", "loaded": "{name} 已就绪，由它回答。",
        "not_here": "{name} 不在这台电脑上，而应用启动时没有加 `--hub`，因此不会联网。仍由 {before} 回答。",
        "not_loaded": "{name} 无法载入，仍由 {before} 回答。{why}",
        "why_chosen": "由 {name} 回答，这是你的选择。",
        "why_drawing": "由 {name} 回答：这张图片像图画一样，颜色少、色块平。",
        "why_photo": "由 {name} 回答：这张图片像照片一样，明暗细腻。它不是 CLIP，而是拼接起来的 ImageNet 网络和句子编码器；"
                     "其图像权重没有注明许可证。",
        "why_broken": "由 {name} 回答：这张图片像照片，但照片模型无法载入。",
        "error": "没有成功", "no_picture": "还没有图片：请上传、粘贴或用摄像头拍一张。",
    },
}

MESSAGES_ZH = {  # the same kinds as clipmini.tasks.prompts.MESSAGES
    "no_labels": "还没有标签；请至少输入一个，例如：cat, dog",
    "too_many_labels": "有 {count:,} 个标签，上限是 {limit:,} 个。请删去一些，或分几次分类。",
    "long_label": "标签 {label!r} 有 {count:,} 个字符，上限是 {limit} 个。请缩短。",
    "no_text": "有一个标签的类型是 {type}；标签必须是文字。",
    "long_text": "标签一共有 {count:,} 个字符，上限是 {limit:,} 个。请删去一些。",
    "bad_template": "模板 {template!r} 不能用。请用一个 {{}} 表示标签的位置，例如 'a photo of a {{}}.'，不要出现其他花括号。",
    "no_templates": "还没有模板；请至少写一个，例如：a photo of a {{}}.",
    "too_many_templates": "有 {count:,} 个模板，上限是 {limit} 个。请删去一些。",
    "token_limit": "标签 {label!r} 组成的提示词 {prompt!r} 有 {count} 个 token，上限是 {limit} 个 token（不是字符）。"
                   "请缩短标签或模板。",
    "merged": "合并了 {count} 个重复的标签（只有大小写或空格不同）：{labels}",
    "empty": "略去了 {count} 个空标签",
    "invisible": "从 {count} 个标签里去掉了控制字符或不可见字符：{labels}",
    "one_label": "只有一个标签时它总是得到 100 %：请再加一个，或打开“都不是”。",
    "unseen": "模型的训练文字里几乎没有这些标签的字：{labels}。它只能逐字节地读，结果只是猜测。",
    "no_words_left": "在这个模型看来，每个日常词汇都与某个标签相近，因此“都不是”没有可用的词。",
}


def language_of(request) -> str:
    """"zh" or "en": the first of the two that the browser's Accept-Language names (browsers list the favourite first)."""
    header = request.headers.get("accept-language", "") if request is not None else ""
    wanted = [part.split(";")[0].strip().lower()[:2] for part in header.split(",")]
    return next((w for w in wanted if w in LANGUAGES), "en")


def say(lang: str, key: str, **values) -> str:
    """One of TEXTS, filled in."""
    return TEXTS[lang][key].format(**values) if values else TEXTS[lang][key]


def say_message(lang: str, message) -> str:
    """A prompts.Note or prompts.PromptError in words."""
    return (MESSAGES_ZH if lang == "zh" else MESSAGES)[message.kind].format(**message.values)


def say_error(lang: str, error: Exception) -> str:
    """An error in words; details that exist in English only come after a Chinese sentence with the limits."""
    if hasattr(error, "kind"):
        return say_message(lang, error)
    if lang == "zh" and isinstance(error, ImageError):
        return (f"这张图片不能用。支持 {'、'.join(FORMATS)}，最多 {MAX_PIXELS // 10_000:,} 万像素，"
                f"长宽比最多 {MAX_ASPECT}:1。（{error}）")
    return str(error)
