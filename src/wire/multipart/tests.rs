//! What is a form, what is none, and that nothing but the model's name changes.

use proptest::prelude::*;

use super::*;

const TYPE: &str = "multipart/form-data; boundary=xYz";

fn part(headers: &str, value: &str) -> String {
    format!("--xYz\r\nContent-Disposition: form-data; {headers}\r\n\r\n{value}\r\n")
}

fn form(parts: &[(&str, &str)]) -> String {
    let parts: Vec<_> = parts.iter().map(|(headers, value)| part(headers, value)).collect();
    parts.concat() + "--xYz--\r\n"
}

#[test]
fn fields_and_files_are_found() {
    let body = form(&[
        ("name=\"prompt\"", "a \"cat\"\r\n--xY"),
        ("name=\"image[]\"; filename=\"a.png\"\r\nContent-Type: image/png", "\0\r\n\r\nPNG"),
        ("name=\"image[]\"; filename=\"b;c.png\"", "second"),
        ("name=model", "flux-image"),
        ("name=\"empty\"", ""),
    ]);
    let body = body.as_bytes();
    let read = Form::scan("Multipart/Form-Data; charset=utf-8; boundary=\"xYz\"", body).unwrap();
    assert_eq!(read.model(body), "flux-image");
    assert_eq!(read.text("prompt", body), b"a \"cat\"\r\n--xY");
    assert_eq!(read.file(body), b"\0\r\n\r\nPNG");
    assert_eq!((read.text("image[]", body), read.text("empty", body)), (&b""[..], &b""[..]));
    assert_eq!(read.parts().len(), 5);
    let spliced = read.upstream_body(&Bytes::copy_from_slice(body), "gpt-image-2");
    assert_eq!(spliced, String::from_utf8_lossy(body).replace("flux-image", "gpt-image-2"));
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let model = ("name=\"model\"", "m");
    let good = form(&[model]);
    assert!(Form::scan(TYPE, good.as_bytes()).is_ok());
    for media_type in [
        "multipart/form-data",
        "application/json",
        "multipart/form-data; boundary=a b",
        "",
        "multipart/form-data; boundary=xYz; boundary=xYw",
    ] {
        assert_eq!(Form::scan(media_type, good.as_bytes()), Err(FormError::NoBoundary), "{media_type}");
    }
    let cases = [
        String::new(),
        format!("preamble\r\n{good}"),
        format!("{good}epilogue"),
        good.replace("--xYz--\r\n", ""),
        good.replace("\r\n\r\n", "\n\n"),
        good.replace("form-data;", "attachment;"),
        good.replace("name=", "name*="),
        form(&[("name=\"mod\\el\"", "m"), model]),
        form(&[("name=\"mod%65l\"", "m"), model]),
        form(&[("name=\"a\"; name=\"model\"", "m"), model]),
        form(&[("name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"", "m"), model]),
        form(&[("name=\"a\"\r\nContent-Transfer-Encoding: base64", "m"), model]),
        form(&[("name=\"a\"", "x\r\n--xYzz"), model]),
    ];
    for body in cases {
        assert!(matches!(Form::scan(TYPE, body.as_bytes()), Err(FormError::Broken(_))), "{body}");
    }
    let twice = Form::scan(TYPE, form(&[model, model]).as_bytes());
    assert_eq!(twice, Err(FormError::Duplicate("model".to_owned())));
    assert_eq!(Form::scan(TYPE, form(&[("name=\"a\"", "m")]).as_bytes()), Err(FormError::Missing("model")));
    for bad in [("name=\"model\"", ""), ("name=\"model\"", "a b"), ("name=\"model\"; filename=\"x\"", "m")] {
        assert_eq!(Form::scan(TYPE, form(&[bad]).as_bytes()), Err(FormError::BadModel), "{bad:?}");
    }
    let many: Vec<_> = (0..=PARTS_MAX).map(|_| ("name=\"a[]\"", "m")).collect();
    assert_eq!(Form::scan(TYPE, form(&many).as_bytes()), Err(FormError::TooManyParts));
}

proptest! {
    #[test]
    fn nothing_but_the_model_changes(
        before in proptest::collection::vec(any::<u8>(), 0..200),
        after in proptest::collection::vec(any::<u8>(), 0..200),
        name in "[!-~]{1,30}",
    ) {
        prop_assume!(memmem::find(&before, b"--xYz").is_none() && memmem::find(&after, b"--xYz").is_none());
        let file = |name: &str| format!("--xYz\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n");
        let middle = "\r\n".to_owned() + &part("name=\"model\"", "flux");
        let head = [file("a").as_bytes(), &before].concat();
        let tail = [file("b").as_bytes(), &after, b"\r\n--xYz--\r\n"].concat();
        let body = Bytes::from([&head, middle.as_bytes(), &tail].concat());
        let form = Form::scan(TYPE, &body).unwrap();
        let middle = "\r\n".to_owned() + &part("name=\"model\"", &name);
        prop_assert_eq!(form.upstream_body(&body, &name), [&head, middle.as_bytes(), &tail].concat());
        prop_assert_eq!(form.file(&body), before);
    }

    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Form::scan(TYPE, &body);
        let _ = Form::scan(TYPE, &[b"--xYz\r\n", &body[..]].concat());
    }
}
