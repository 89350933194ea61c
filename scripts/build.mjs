// Builds what changed: the addon, the WebAssembly module, the compiled TypeScript. `npm run build` runs it, and so do
// `npm start`, `npm test` and `npm run bench` before they begin.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
process.chdir(root)
// The tools that cargo compiles for the build are installed here.
const tools = join(root, 'target', 'tools')
// npm puts its folder there; `node scripts/build.mjs` needs it too: wasm-pack looks for wasm-opt on the path.
const paths = [join(root, 'node_modules', '.bin'), process.env.PATH, join(tools, 'bin')]
process.env.PATH = paths.join(delimiter)

const WASM_PACK = '0.15.1'
const rust = ['Cargo.toml', 'Cargo.lock', 'crate/core']

/** Time of the last change to a file, or to any file below a folder. */
function changed(path) {
  const time = statSync(path).mtimeMs
  if (!statSync(path).isDirectory()) return time
  return Math.max(time, ...readdirSync(path).map((name) => changed(join(path, name))))
}

/** Whether any input is newer than the first file in `folder` whose name ends so. */
function stale(inputs, folder, ending) {
  const output = existsSync(folder) && readdirSync(folder).find((name) => name.endsWith(ending))
  if (!output) return true
  return Math.max(...inputs.map(changed)) > statSync(join(folder, output)).mtimeMs
}

async function run(command, args, env = {}) {
  const child = spawn(command, args, {
    stdio: 'inherit',
    shell: process.platform === 'win32',
    env: { ...process.env, ...env },
  })
  const [status] = await once(child, 'exit')
  if (status !== 0) process.exit(status ?? 1)
}

/** Whether the host answers. */
async function reaches(host) {
  const asked = fetch(host, { method: 'HEAD', signal: AbortSignal.timeout(5000) })
  return asked.then(
    () => true,
    () => false,
  )
}

/** Whether there is such a command, and of this version. */
function found(command, version = '') {
  const { status, stdout } = spawnSync(command, ['--version'], { shell: process.platform === 'win32' })
  return status === 0 && String(stdout).includes(version)
}

async function buildNative() {
  const build = stale([...rust, 'crate/node'], 'dist/native', '.node')
  if (build) {
    console.log('building the native addon')
    const where = ['-p', 'fused-loss-node', '--manifest-path', 'Cargo.toml', '--output-dir', 'dist/native']
    await run('napi', ['build', '--platform', '--release', '--strip', '--no-js', ...where, '--', '--locked'])
  }
  for (const name of readdirSync('dist/native').filter((name) => name.endsWith('.node'))) {
    const file = join('dist/native', name)
    // The loader opens no addon that has been cut short since. Only one that was built just now is known to be whole.
    const record = `${file}.json`
    if (build || !existsSync(record)) writeFileSync(record, `${JSON.stringify({ bytes: statSync(file).size })}\n`)
  }
}

/**
 * wasm-pack, and the wasm-bindgen of the version in Cargo.lock that it calls. They are compiled without optimisation, which takes a
 * third of the time, and give the same modules. Where wasm-pack can fetch a wasm-bindgen, that is faster still.
 */
async function installTools() {
  const install = (...args) =>
    run('cargo', ['install', '--debug', '--root', tools, ...args], {
      CARGO_PROFILE_DEV_DEBUG: '0',
      // What both are made of is compiled once.
      CARGO_TARGET_DIR: join(tools, 'target'),
    })
  // An earlier wasm-pack may have compiled it, into its cache.
  const caches = [join(homedir(), '.cache'), join(homedir(), 'Library', 'Caches'), process.env.LOCALAPPDATA ?? '']
  const has = (version) =>
    found('wasm-bindgen', version) ||
    caches.some((cache) => existsSync(join(cache, '.wasm-pack', `wasm-bindgen-cargo-install-${version}`)))
  const bindgen = /name = "wasm-bindgen"\nversion = "(.+)"/.exec(readFileSync('Cargo.lock', 'utf8'))[1]
  if (!found('wasm-pack')) {
    console.log(`wasm-pack is missing: cargo compiles version ${WASM_PACK}, once, in one to three minutes`)
    await install('wasm-pack', '--version', WASM_PACK)
  }
  if (!has(bindgen) && !(await reaches('https://github.com'))) {
    console.log(`wasm-bindgen cannot be fetched: cargo compiles version ${bindgen}, once, in one to three minutes`)
    await install('wasm-bindgen-cli', '--version', bindgen, '--no-default-features', '--bin', 'wasm-bindgen')
  }
  rmSync(join(tools, 'target'), { recursive: true, force: true })
}

const sets = {
  simd128: {},
  'relaxed-simd': { CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS: '-Ctarget-feature=+simd128,+relaxed-simd' },
}

/** One module for every engine, and one for those that have relaxed SIMD: features are part of a module's code. */
async function buildWasm() {
  const inputs = [...rust, 'crate/wasm', '.cargo']
  const old = Object.entries(sets).filter(([set]) => stale(inputs, join('dist', 'wasm', set), '.wasm'))
  if (old.length === 0) return
  await installTools()
  for (const [set, env] of old) await buildModule(set, env)
}

async function buildModule(set, env) {
  const folder = join('dist', 'wasm', set)
  console.log(`building for WebAssembly with ${set}`)
  const out = ['--target', 'web', '--no-typescript', '--out-dir', join('..', '..', folder)]
  // A folder of its own, since cargo lets only one build into a folder at a time.
  const target = { CARGO_TARGET_DIR: join(root, 'target', set) }
  await run('wasm-pack', ['build', 'crate/wasm', '--release', ...out, '--', '--locked'], { ...env, ...target })
  // The module is used without the glue, and its .gitignore and package.json would keep npm from packing the module.
  for (const name of readdirSync(folder)) if (!name.endsWith('.wasm')) rmSync(join(folder, name))
}

async function buildTypeScript() {
  const folders = ['ts', '__test__', 'benches', 'examples']
  if (!stale([...folders, 'tsconfig.json', 'package-lock.json'], join('dist', 'ts'), 'index.js')) return
  console.log('compiling TypeScript')
  // Afresh, so that nothing stays of a source file that is gone.
  for (const folder of folders) rmSync(join('dist', folder), { recursive: true, force: true })
  rmSync('dist/.tsbuildinfo', { force: true })
  await run('tsc', ['-p', '.'])
}

const started = performance.now()
if (found('cargo')) {
  await Promise.all([buildNative(), buildWasm()])
} else {
  const how = 'install Rust 1.89 or later with rustup (https://rustup.rs), then run this again'
  console.log(`cargo was not found, so the native addon and the WebAssembly module are not built: ${how}`)
  if (process.env.CI === 'true') process.exit(1)
}
await buildTypeScript()
const seconds = (performance.now() - started) / 1000
// Nothing is said where nothing was to be built.
if (seconds > 10) console.log(`built in ${seconds.toFixed(0)} s`)
