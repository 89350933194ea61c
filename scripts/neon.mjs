// Runs the tests of the core crate as an ARM machine would, in an emulator: `npm run test:neon`. On Debian it needs
// `apt-get install qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross` and `rustup target add aarch64-unknown-linux-gnu`.

import { spawnSync } from 'node:child_process'

const target = 'aarch64-unknown-linux-gnu'
const name = `CARGO_TARGET_${target.toUpperCase().replaceAll('-', '_')}`
// On such a machine itself nothing is emulated.
const emulator =
  process.arch === 'arm64'
    ? {}
    : {
        [`${name}_LINKER`]: 'aarch64-linux-gnu-gcc',
        [`${name}_RUNNER`]: 'qemu-aarch64 -L /usr/aarch64-linux-gnu',
      }
// Without the functions over all floats, which take hours there: the kernels that use them are tried.
const tests = ['kernels', 'simd', 'expression'].flatMap((name) => ['--test', name])
const { status } = spawnSync('cargo', ['test', '--locked', '-p', 'fused-loss-core', '--target', target, ...tests], {
  stdio: 'inherit',
  env: { ...process.env, ...emulator },
})
process.exit(status ?? 1)
