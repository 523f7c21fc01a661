// What both OFREP suites have the whole program serve, taken over by `greenroom import flagd FILE`.

const banner = (shown) => ({
  state: 'ENABLED',
  variants: { on: true, off: false },
  defaultVariant: 'off',
  targeting: { if: [{ in: [{ var: 'plan' }, shown] }, 'on', 'off'] },
});

/** A file of flagd's; `shown`: the plans that see the banner. */
export const definitions = (...shown) => ({
  flags: {
    banner: banner(shown),
    title: { state: 'ENABLED', variants: { plain: 'Hello', loud: 'HELLO' }, defaultVariant: 'plain' },
    size: { state: 'ENABLED', variants: { small: 1, large: 2.5 }, defaultVariant: 'large' },
    theme: { state: 'ENABLED', variants: { dark: { dark: true }, light: {} }, defaultVariant: 'dark' },
  },
});
