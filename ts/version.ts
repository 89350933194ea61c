/** Version of the package; a test holds it to package.json and Cargo.toml. */
export const version = '0.1.0'
