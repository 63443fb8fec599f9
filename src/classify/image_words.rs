//! The words by which a demand for a picture is known. Data for `image_intent`, one idea a list.
//!
//! Must not hold logic. Kept from the formatter, which would give every word a line.

/// What may stand before the verb.
pub(super) const COURTESY: &[&str] = &[
    "please", "kindly", "can", "could", "would", "will", "you", "hey", "hi", "hello", "now", "then", "ok", "okay",
    "help", "me", "just", "i", "i'd", "we", "we'd", "let's", "lets", "to", "go", "ahead", "and", "so", "first",
    "next", "bitte", "kannst", "könntest", "du", "mir", "por", "favor", "puedes", "peux-tu", "pouvez-vous", "puoi",
    "você", "pode", "flux", "assistant", "ai",
];

/// Wishes: they ask for a picture only if one follows at once.
pub(super) const WISH: &[&str] = &[
    "need", "want", "like", "love", "brauche", "möchte", "quiero", "necesito", "veux", "voudrais",
];

/// Verbs whose object is a picture whatever it shows.
pub(super) const DRAW: &[&str] = &[
    "draw", "sketch", "paint", "render", "illustrate", "doodle",
];

/// The same in languages where the article is optional or a word of its own.
pub(super) const DRAW_ELSEWHERE: &[&str] = &[
    "zeichne", "dibuja", "dibújame", "dessine", "dessine-moi", "disegna", "desenhe", "desenha", "нарисуй",
    "narysuj",
];

/// Verbs that ask for a picture if their object is one.
pub(super) const MAKE: &[&str] = &[
    "generate", "create", "make", "produce", "design", "show", "give", "craft", "imagine", "visualize", "visualise",
    "erstelle", "erstell", "erzeuge", "generiere", "male", "mach", "mache", "zeig", "genera", "generar", "crea",
    "crear", "haz", "hazme", "créame", "génère", "générez", "crée", "créez", "fais", "fais-moi", "faites", "creami",
    "gere", "crie", "cria", "faça", "создай", "сгенерируй",
];

/// Nouns that name a picture.
pub(super) const PICTURE: &[&str] = &[
    "image", "images", "picture", "pictures", "pic", "photo", "photos", "photograph", "photographs", "illustration",
    "illustrations", "painting", "paintings", "drawing", "drawings", "sketch", "portrait", "artwork", "logo",
    "logos", "wallpaper", "poster", "cartoon", "watercolor", "watercolour", "avatar", "mascot", "sticker", "icon",
    "icons", "concept-art", "bild", "bilder", "foto", "zeichnung", "gemälde", "imagen", "imágenes", "ilustración",
    "dibujo", "retrato", "dessin", "peinture", "affiche", "immagine", "disegno", "imagem", "desenho", "картинку",
    "изображение", "рисунок",
];

/// What may follow such a noun; anything else makes it part of another noun, as in "image processing".
pub(super) const AFTER_PICTURE: &[&str] = &[
    "of", "showing", "depicting", "featuring", "with", "where", "that", "in", "for", "about", "which",
    "representing", "illustrating", "portraying", "containing", "inspired", "based", "like", "please", "from", "at",
    "on", "and", "design", "art", "style", "de", "del", "di", "do", "da", "von", "mit", "einer", "eines", "vom",
    "für", "zu", "d'un", "d'une", "con", "que", "avec", "où", "com", "для", "с",
];

/// Words that end a noun phrase.
pub(super) const PHRASE_END: &[&str] = &[
    "that", "to", "which", "for", "from", "with", "in", "using", "and", "or", "about", "this", "these", "those",
    "the", "your", "it", "when", "how", "if", "by", "as", "on", "at", "between", "is", "are", "sure", "into",
    "whose",
];

/// Nouns before "of" that leave the phrase open: a set of images.
pub(super) const QUANTITY: &[&str] = &[
    "set", "series", "couple", "bunch", "collection", "pair", "variety", "few", "lot",
];

/// Words of a phrase that make it no picture: a docker image, a prompt, a page.
pub(super) const NO_PICTURE: &[&str] = &[
    "docker", "container", "disk", "iso", "vm", "boot", "base", "mental", "self", "brand", "public", "clear",
    "clearer", "bigger", "full", "complete", "code", "function", "script", "program", "app", "application",
    "website", "page", "class", "component", "api", "algorithm", "model", "prompt", "prompts", "caption",
    "description", "title", "essay", "story", "poem", "list", "table", "name", "names", "text", "summary", "vector",
    "raw", "tag", "binary", "button", "menu", "inverse", "ascii", "alt", "sequence", "classifier", "plan", "report",
    "file", "word",
];

/// Objects of "draw" and "render" that are thoughts, figures of mathematics, or pages.
pub(super) const NO_DRAWING: &[&str] = &[
    "conclusion", "conclusions", "comparison", "comparisons", "parallel", "parallels", "distinction",
    "distinctions", "inference", "inferences", "attention", "line", "lines", "lesson", "lessons", "analogy",
    "analogies", "graph", "chart", "diagram", "flowchart", "table", "tree", "plot", "histogram", "curve",
    "function", "ascii", "uml", "circuit", "structure", "molecule", "card", "cards", "sample", "samples", "number",
    "numbers", "random", "up", "out", "from", "back", "near", "upon", "timeline", "mindmap", "wireframe", "schema",
    "mermaid", "component", "components", "template", "page", "view", "list", "json", "markdown", "text",
    "judgment", "judgement", "verdict", "decision", "opinion", "plan", "proof", "outline", "argument", "point",
    "concept", "difference", "how", "idea", "principle", "process", "map", "triangle", "rectangle", "graphs",
    "tangent", "boundary", "boundaries", "element", "matrix", "figure", "theme", "themes", "connection",
    "connections", "insight", "insights", "implications",
];

/// Words that make "draw a …" an exercise.
pub(super) const EXERCISE: &[&str] = &[
    "find", "calculate", "compute", "determine", "prove", "label", "probability", "equation", "explain", "describe",
];

/// Techniques by which a program makes a picture: then a program is wanted.
pub(super) const TECHNIQUE: &[&str] = &[
    "python", "javascript", "typescript", "html", "html5", "css", "svg", "matplotlib", "pyplot", "numpy", "opencv",
    "pillow", "pil", "tikz", "latex", "react", "java", "c++", "c#", "rust", "golang", "php", "sql", "docker",
    "dockerfile", "turtle", "p5.js", "processing", "ggplot", "ggplot2", "plotly", "d3", "d3.js", "mermaid",
    "graphviz", "swift", "kotlin", "flutter", "bash", "base64", "regex", "webgl", "three.js", "unity", "shader",
    "opengl", "matlab", "excel", "powerpoint", "code", "script",
];

/// Texts that begin so are captions.
pub(super) const CAPTION: &[&str] = &[
    "image:", "picture:", "photo:", "illustration:", "/imagine", "bild:", "imagen:",
];

/// Demands in languages that are written without blanks.
pub(super) const UNSPACED: &[&str] = &[
    "画一", "畫一", "生成图片", "生成一张", "生成圖片", "生成一幅", "画像を生成", "絵を描いて", "イラストを描いて", "그림을 그려", "이미지를 생성", "이미지 생성해",
];
