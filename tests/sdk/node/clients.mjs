// What both suites need: where Flux is, the keys, and the provider's count of cancelled streams.
export const URL_OF_FLUX = process.env.FLUX_URL;
export const behinds = { provider: process.env.FLUX_KEY, mock: process.env.FLUX_TEST_KEY };

const WAIT_MS_MAX = 30_000;

export async function left(dialect) {
  return (await (await fetch(`${process.env.PROVIDER_URL}/left`)).json())[dialect];
}

export async function waitUntil(holds) {
  const end = Date.now() + WAIT_MS_MAX;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error("gave up waiting");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
