//! Whether words ask for a picture to be made.
//!
//! Must not know models that make pictures. It is built to be right when it says yes: a request that is sent to the
//! image lane by mistake gets a picture instead of an answer. So it follows the grammar of a demand (courtesy, verb,
//! noun phrase, object) at the start of a sentence, instead of looking for words anywhere.

use super::image_words::{
    AFTER_PICTURE, CAPTION, COURTESY, DRAW, DRAW_ELSEWHERE, EXERCISE, MAKE, NO_DRAWING, NO_PICTURE, PHRASE_END,
    PICTURE, QUANTITY, TECHNIQUE, UNSPACED, WISH,
};

/// Bytes of the user's last words in which a demand is looked for.
const HEAD_BYTES_MAX: usize = 1024;
/// Sentences that are looked at.
const SENTENCES_MAX: usize = 12;
/// Words of a sentence up to its verb.
const LEAD_WORDS_MAX: usize = 10;
/// Words between the verb and the noun that names a picture.
const PHRASE_WORDS_MAX: usize = 8;
/// Up to this length "draw cats" needs no article.
const TERSE_BYTES_MAX: usize = 60;
/// Past this length a text is a document, and a lone "draw a …" in it no demand.
const TALK_BYTES_MAX: usize = 2_000;

/// Whether the user's last words ask for a picture.
pub(super) fn is_in(last_user: &str) -> bool {
    let text = last_user.trim();
    let is_talk = text.len() <= TALK_BYTES_MAX;
    let is_terse = text.len() <= TERSE_BYTES_MAX && !text.contains(['?', '$', '=']);
    let head = text.get(..text.floor_char_boundary(HEAD_BYTES_MAX)).unwrap_or_default().to_lowercase();
    let ends = |c: char| matches!(c, '.' | '!' | '?' | '\n' | ';');
    let sentences = head.split_inclusive(ends).filter(|sentence| !sentence.trim_end().is_empty());
    let sentences_max = if is_talk { SENTENCES_MAX } else { 1 };
    let demand = sentences.take(sentences_max).find_map(|sentence| demand_of(sentence, is_terse));
    let is_asked = match demand {
        Some(Demand::Picture) => true,
        Some(Demand::Drawing) if is_talk => !has_word(&head, EXERCISE),
        Some(Demand::Drawing) | None => is_talk && is_bare_demand(&head),
    };
    // Last, because it looks at every word.
    is_asked && !head.contains("```") && !has_word(&head, TECHNIQUE)
}

/// What a sentence asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    /// Something that is called a picture.
    Picture,
    /// That something is drawn, painted, rendered.
    Drawing,
}

/// A caption, or a demand in a language without blanks.
fn is_bare_demand(head: &str) -> bool {
    CAPTION.iter().any(|caption| head.starts_with(caption))
        || (!head.is_ascii() && UNSPACED.iter().any(|demand| head.contains(demand)))
}

fn has_word(head: &str, list: &[&str]) -> bool {
    words(head).any(|(word, _)| list.contains(&word))
}

/// The next word without its punctuation, whether punctuation follows it, and the text behind it.
fn next_word(text: &str) -> Option<(&str, bool, &str)> {
    let mut rest = text;
    loop {
        let start = rest.trim_start();
        let end = start.find(char::is_whitespace).unwrap_or(start.len());
        let (spelt, after) = start.split_at_checked(end)?;
        if spelt.is_empty() {
            return None;
        }
        let inner = spelt.trim_start_matches(|c: char| !c.is_alphanumeric());
        let word = inner.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '+' && c != '#');
        if !word.is_empty() {
            return Some((word, word.len() < inner.len(), after));
        }
        rest = after;
    }
}

fn words(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (word, is_closed, after) = next_word(rest)?;
        rest = after;
        Some((word, is_closed))
    })
}

fn demand_of(sentence: &str, is_terse: bool) -> Option<Demand> {
    let mut rest = sentence;
    let mut previous = "";
    for _ in 0..LEAD_WORDS_MAX {
        let (word, _, phrase) = next_word(rest)?;
        if COURTESY.contains(&word) {
            previous = word;
            rest = phrase;
            continue;
        }
        if DRAW.contains(&word) {
            let is_question = previous.is_empty() && sentence.trim_end().ends_with('?');
            return match (is_question, picture_follows(phrase)) {
                (true, _) => None,
                (false, true) => Some(Demand::Picture),
                (false, false) => drawing_follows(phrase, is_terse).then_some(Demand::Drawing),
            };
        }
        if DRAW_ELSEWHERE.contains(&word) {
            return Some(Demand::Drawing);
        }
        if MAKE.contains(&word) {
            return picture_follows(phrase).then_some(Demand::Picture);
        }
        // "I like to draw" is no wish, "I'd like" is one.
        let is_wish = WISH.contains(&word) && (!matches!(word, "like" | "love") || matches!(previous, "i'd" | "would"));
        if !is_wish {
            return None;
        }
        if picture_follows(phrase) {
            return Some(Demand::Picture);
        }
        previous = word;
        rest = phrase;
    }
    None
}

/// "a set of photorealistic pictures of …"
fn picture_follows(phrase: &str) -> bool {
    let mut rest = words(phrase).peekable();
    let mut previous = "";
    for _ in 0..PHRASE_WORDS_MAX {
        let Some((word, is_closed)) = rest.next() else { return false };
        if PICTURE.contains(&word) {
            let Some((next, _)) = rest.peek().copied() else { return true };
            if is_closed && !PICTURE.contains(&next) {
                return true;
            }
            if AFTER_PICTURE.contains(&next) {
                rest.next();
                // "an illustration of how it works" is a figure of speech.
                return !matches!(rest.peek(), Some(("how" | "why" | "what" | "when" | "your", _)));
            }
            if !PICTURE.contains(&next) {
                return false;
            }
        } else if ends_phrase(word, previous) {
            return false;
        }
        previous = word;
    }
    false
}

fn ends_phrase(word: &str, previous: &str) -> bool {
    let is_open = word == "of" && QUANTITY.contains(&previous);
    !is_open && (word == "of" || PHRASE_END.contains(&word) || NO_PICTURE.contains(&word))
}

/// "me a raccoon in a hat"
fn drawing_follows(phrase: &str, is_terse: bool) -> bool {
    const ARTICLES: [&str; 14] =
        ["a", "an", "the", "me", "us", "some", "my", "two", "three", "four", "five", "several", "many", "another"];
    let mut object = words(phrase).take(PHRASE_WORDS_MAX).peekable();
    let Some((first, _)) = object.peek().copied() else { return false };
    (is_terse || ARTICLES.contains(&first)) && !object.any(|(word, _)| NO_DRAWING.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demands_for_pictures_are_found() {
        for text in [
            "Draw a shiba inu",
            "draw cats",
            "Please create a picture: an espresso machine",
            "Can you make me a photo of a kachina doll?",
            "I need an illustration of a circular logo",
            "I'd like a watercolor painting of my village",
            "Erstelle bitte ein Bild: golden ratio",
            "Genera una imagen de: a book cover",
            "image: a robot",
            "Render a wood cabin in high detail, 16:9",
            "My son turns six. Please make a picture of a dinosaur with a cake.",
            "Design a minimalist logo for my bakery",
            "Generate a set of 4 images showing the seasons",
            "Could you sketch me two owls on a branch?",
            "Create a photorealistic high-resolution image.",
            "I want you to draw a dragon",
            "画一只猫",
        ] {
            assert!(is_in(text), "{text}");
        }
    }

    #[test]
    fn talk_about_pictures_is_no_demand() {
        for text in [
            "",
            "Explain this image",
            "Describe the picture",
            "Write code that generates an image of a cat",
            "Generate an image with Python and Pillow",
            "Create an SVG image of a circle",
            "Create a function that draws a logo",
            "How do I draw a cat?",
            "Draw a conclusion from the following data",
            "Draw the graph of y = x^2",
            "Draw a comparison between Kant and Hume",
            "Draw a triangle ABC and find the area",
            "Create a caption for this image",
            "Give me an illustration of how recursion works",
            "Create an image processing pipeline",
            "Build a docker image",
            "Make an image classifier",
            "Generate image captions",
            "Render the page on the server",
            "What is an image in linear algebra?",
            "I like to paint on Sundays, any tips?",
            "Paint costs $5 per can. How many cans can I buy?",
            "Show me a list of pictures by Monet",
            "What makes a good photo?",
            "Generate a plot of the sales data",
            "Male patient, 45 years old, with chest pain",
            "Make the image smaller",
            "Create a React component with an image of a cat",
        ] {
            assert!(!is_in(text), "{text}");
        }
    }
}
