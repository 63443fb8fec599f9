//! Sizes of pictures in pixels, and the ratios of sides that come nearest to them.
//!
//! Must not know who offers which ratios.

use super::ir::Text;

/// No picture is larger.
const SIDE_MAX: u64 = 100_000;

/// Width and height of a size such as `1024x1536`.
pub(super) fn sides(size: &Text<'_>) -> Option<(u64, u64)> {
    let size = size.to_plain();
    let (width, height) = size.split_once('x')?;
    let pixels = |text: &str| text.parse().ok().filter(|side| (1..=SIDE_MAX).contains(side));
    Some((pixels(width)?, pixels(height)?))
}

/// The ratio (width and height) that comes nearest; a square where there is none.
pub(super) fn nearest(ratios: &[(u64, u64)], width: u64, height: u64) -> (u64, u64) {
    // How far off in millionths of the wanted ratio's denominator: enough to tell ten ratios apart.
    let distance = |(across, down): (u64, u64)| (width * down).abs_diff(height * across) * 1_000_000 / (height * down);
    ratios.iter().copied().min_by_key(|ratio| distance(*ratio)).unwrap_or((1, 1))
}
