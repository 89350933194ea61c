declare module 'mnist' {
  /** Entry d has the images of digit d, 28×28 grey values in [0, 1] one after another. */
  const digits: readonly { readonly id: number; readonly length: number; readonly raw: readonly number[] }[]
  export default digits
}
