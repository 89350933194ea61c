/** Which backend loads, and what is said when one cannot: each in a process of its own, on a copy of the package. */

import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { backendFor, load, use } from '../ts/backend/load.js'
import { unfit } from '../ts/backend/native.js'
import { wasmSets } from '../ts/backend/wasm.js'
import type { BackendInfo } from '../ts/index.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)

/** The package as it is published, in a project that has installed it. */
function installed(): { project: string; dist: string } {
  const project = mkdtempSync(join(tmpdir(), 'fused-loss-'))
  const dist = join(project, 'node_modules', 'fused-loss', 'dist')
  for (const folder of ['ts', 'native', 'wasm'])
    cpSync(join(root, 'dist', folder), join(dist, folder), { recursive: true })
  cpSync(join(root, 'package.json'), join(dist, '..', 'package.json'))
  return { project, dist }
}

const script = `
const x = Float32Array.of(1, 2, 3)
console.log(JSON.stringify({ ...backend(), value: mse(x, Float32Array.of(0, 0, 0)) }))`
const esm = `import { backend, mse } from 'fused-loss'\n${script}`
const cjs = `const { backend, mse } = require('fused-loss')\n${script}`

let files = 0

async function start(
  project: string,
  { forced = '', threads = '', flags = [] as string[], code = esm } = {},
): Promise<BackendInfo & { value: number }> {
  // A name of its own: tests run at the same time.
  const file = join(project, `main${files++}.${code === cjs ? 'cjs' : 'mjs'}`)
  writeFileSync(file, code)
  const env = { ...process.env, FUSED_LOSS_BACKEND: forced, FUSED_LOSS_THREADS: threads }
  const { stdout, stderr } = await run(process.execPath, [...flags, file], { env, cwd: project })
  if (stderr !== '') throw new Error(`wrote to stderr: ${stderr}`)
  return JSON.parse(stdout)
}

function addon(dist: string): string {
  const name = readdirSync(join(dist, 'native')).find((name) => name.endsWith('.node'))
  if (name === undefined) throw new Error('the addon is not built')
  return join(dist, 'native', name)
}

const wasmOf = (dist: string, set: string) => join(dist, 'wasm', set, 'fused_loss_wasm_bg.wasm')

const { project } = installed()
test.after.always(() => rmSync(project, { recursive: true, force: true }))

test('native loads first, by import and by require', async (t) => {
  const info = await start(project)
  t.is(info.name, 'native')
  t.is(info.instructionSet, load('native').instructionSets[0])
  t.deepEqual(info.skipped, [])
  t.is(info.value, 14 / 3)
  t.deepEqual(await start(project, { code: cjs }), info)
})

test('--no-addons leads to wasm', async (t) => {
  const info = await start(project, { flags: ['--no-addons'] })
  t.is(info.name, 'wasm')
  t.is(info.instructionSet, wasmSets()[0])
  t.is(info.skipped.length, 1)
  t.is(info.skipped[0].name, 'native')
  t.regex(info.skipped[0].reason, /addons|addon/)
  t.is(info.value, 14 / 3)
})

test('a corrupt addon leads to wasm, missing modules to TypeScript', async (t) => {
  const { project, dist } = installed()
  try {
    // As long as it was, so that it is opened.
    writeFileSync(addon(dist), Buffer.alloc(readFileSync(addon(dist)).length, 'not an addon'))
    const wasm = await start(project)
    t.is(wasm.name, 'wasm')
    t.deepEqual(
      wasm.skipped.map((skip) => skip.name),
      ['native'],
    )
    for (const set of wasmSets()) rmSync(wasmOf(dist, set))
    const ts = await start(project)
    t.is(ts.name, 'ts')
    t.deepEqual(
      ts.skipped.map((skip) => skip.name),
      ['native', 'wasm'],
    )
    for (const set of wasmSets()) t.regex(ts.skipped[1].reason, new RegExp(`${set}: [^;]*no such file`))
    t.is(ts.value, 14 / 3)
    for (const set of wasmSets()) writeFileSync(wasmOf(dist, set), 'not a module')
    t.is((await start(project)).name, 'ts')
    rmSync(join(dist, 'wasm'), { recursive: true })
    rmSync(join(dist, 'native'), { recursive: true })
    t.is((await start(project)).name, 'ts')
    t.is((await start(project, { code: cjs })).name, 'ts')
    await t.throwsAsync(start(project, { forced: 'native' }), {
      message: /FUSED_LOSS_BACKEND=native, but that backend does not load: /,
    })
    await t.throwsAsync(start(project, { forced: 'wasm' }), {
      message: /FUSED_LOSS_BACKEND=wasm, but that backend does not load: /,
    })
  } finally {
    rmSync(project, { recursive: true, force: true })
  }
})

test('an addon that is cut short, or whose size nobody has recorded, is not opened', async (t) => {
  const { project, dist } = installed()
  try {
    const file = addon(dist)
    const whole = readFileSync(file)
    const rest = [whole.length / 2, whole.length - 1, whole.length - 4096, 100, 0].map(Math.floor)
    for (const bytes of rest) {
      writeFileSync(file, whole)
      truncateSync(file, bytes)
      const { name, skipped, value } = await start(project)
      t.is(name, 'wasm')
      t.regex(skipped[0].reason, new RegExp(`has ${bytes} bytes, but was built with ${whole.length}; `))
      t.is(value, 14 / 3)
    }
    writeFileSync(file, whole)
    t.is((await start(project)).name, 'native')
    rmSync(`${file}.json`)
    const { name, skipped } = await start(project)
    t.is(name, 'wasm')
    t.regex(skipped[0].reason, /no such file.*\.node\.json/)
  } finally {
    rmSync(project, { recursive: true, force: true })
  }
})

test('where the module with relaxed SIMD does not load, the other does', async (t) => {
  const { project, dist } = installed()
  // Node 20 has relaxed SIMD behind a flag.
  const flags = ['--no-addons', ...(wasmSets().length === 1 ? ['--experimental-wasm-relaxed-simd'] : [])]
  try {
    t.is((await start(project, { flags })).instructionSet, 'relaxed-simd')
    const file = wasmOf(dist, 'relaxed-simd')
    const whole = readFileSync(file)
    const damages = [
      { damage: () => writeFileSync(file, 'not a module'), reason: /^relaxed-simd: .*WebAssembly\.Module/ },
      { damage: () => writeFileSync(file, whole.subarray(0, whole.length / 2)), reason: /^relaxed-simd: / },
      // A module without the functions and the memory that are asked for.
      { damage: () => writeFileSync(file, whole.subarray(0, 8)), reason: /^relaxed-simd: / },
      { damage: () => rmSync(file), reason: /^relaxed-simd: .*no such file/ },
    ]
    for (const forced of ['', 'wasm']) {
      for (const { damage, reason } of damages) {
        writeFileSync(file, whole)
        damage()
        const info = await start(project, { forced, flags })
        t.is(info.name, 'wasm')
        t.is(info.instructionSet, 'simd128')
        t.deepEqual(
          info.skipped.map(({ name }) => name),
          forced === '' ? ['native', 'wasm'] : ['wasm'],
        )
        t.regex(info.skipped.at(-1)!.reason, reason)
        t.is(info.value, 14 / 3)
      }
    }
  } finally {
    rmSync(project, { recursive: true, force: true })
  }
})

test('where the engine has no WebAssembly, TypeScript is left', async (t) => {
  const code = `delete globalThis.WebAssembly\nconst { backend, mse } = await import('fused-loss')\n${script}`
  const info = await start(project, { flags: ['--no-addons'], code })
  t.is(info.name, 'ts')
  t.is(info.skipped[1].reason, 'simd128: WebAssembly is not defined')
  t.is(info.value, 14 / 3)
})

test('versions of Node that would end the process do not open the addon', async (t) => {
  const reason = (versions: Record<string, string>) => unfit(versions as unknown as NodeJS.ProcessVersions)
  // Tried with the versions themselves: all of the first list aborted in the first call, none of the second.
  for (const node of ['16.20.2', '18.20.4', '18.20.8', '20.11.0', '21.6.2']) {
    t.regex(reason({ node })!, new RegExp(`^Node ${node} would end the process`))
  }
  for (const node of ['20.12.0', '20.17.0', '20.19.0', '21.7.0', '22.0.0', '22.11.0', '24.21.0', '26.10.0']) {
    t.is(reason({ node }), undefined)
  }
  t.is(reason({ node: '20.11.1', deno: '2.0.0' }), undefined)
  t.is(reason({ node: '18.0.0', bun: '1.0.0' }), undefined)
  t.is(unfit(process.versions), undefined)

  // A process that says that it is one of them.
  const old = "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.20.4' } })"
  const code = `${old}\nconst { backend, mse } = await import('fused-loss')\n${script}`
  const info = await start(project, { code })
  t.is(info.name, 'wasm')
  t.regex(info.skipped[0].reason, /^Node 18\.20\.4 would end the process/)
  t.is(info.value, 14 / 3)
})

test('an addon of another version is skipped', async (t) => {
  const { project, dist } = installed()
  try {
    writeFileSync(join(dist, 'ts', 'version.js'), "export const version = '9.9.9'\n")
    const { name, skipped } = await start(project)
    t.is(name, 'ts')
    for (const { reason } of skipped) t.regex(reason, /is version \S+, but fused-loss is 9\.9\.9$/)
  } finally {
    rmSync(project, { recursive: true, force: true })
  }
})

test('FUSED_LOSS_BACKEND forces a backend', async (t) => {
  for (const forced of ['native', 'wasm', 'ts']) {
    const info = await start(project, { forced })
    t.is(info.name as string, forced)
    t.is(info.value, 14 / 3)
  }
  await t.throwsAsync(start(project, { forced: 'native', flags: ['--no-addons'] }), {
    message: /FUSED_LOSS_BACKEND=native, but that backend does not load: /,
  })
})

test('FUSED_LOSS_THREADS says how many threads there are', async (t) => {
  t.is((await start(project, { threads: '3' })).threads, 3)
  t.is((await start(project, { threads: '3', forced: 'ts' })).threads, 1)
  for (const threads of ['0', 'two', '1.5', '1000']) {
    await t.throwsAsync(start(project, { threads }), {
      message: new RegExp(`RangeError: FUSED_LOSS_THREADS must be an integer from 1 to 256, got ${threads}`),
    })
  }
})

test('a small call stays in TypeScript, and a length always goes the same way', (t) => {
  for (const name of ['native', 'wasm'] as const) {
    const loaded = load(name)
    use(loaded, true)
    for (const family of ['pointwise', 'softmax', 'region'] as const) {
      const ways = Array.from({ length: 5000 }, (_, elements) => backendFor(family, elements).name)
      t.deepEqual(
        ways,
        ways.toSorted((a, b) => Number(a !== 'ts') - Number(b !== 'ts')),
      )
      t.is(ways[4999], name)
    }
    t.is(backendFor('region', 8).name, 'ts')
    use(loaded)
    t.is(backendFor('region', 8).name, name)
  }
})

test('an unknown backend is an error', async (t) => {
  for (const forced of ['gpu', 'Native', 'toString', '__proto__']) {
    await t.throwsAsync(start(project, { forced }), {
      message: new RegExp(`RangeError: FUSED_LOSS_BACKEND must be one of native, wasm, ts, got ${forced}`),
    })
  }
})

test('it works in worker threads, which may be terminated, with calls that take threads themselves', async (t) => {
  const code = `
import { Worker, isMainThread, parentPort } from 'node:worker_threads'
import { backend, mse } from 'fused-loss'
const zeros = new Float32Array(1_000_000)
const x = new Float32Array(1_000_000).fill(2)
if (isMainThread) {
  const value = () => new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url))
    worker.once('message', (value) => worker.terminate().then(() => resolve(value)))
    worker.once('error', reject)
  })
  const values = await Promise.all([value(), value(), value()])
  console.log(JSON.stringify({ ...backend(), value: values[0] + values[1] + values[2] }))
} else {
  parentPort.postMessage(mse(x, zeros))
  for (;;) mse(x, zeros)
}`
  const info = await start(project, { code })
  t.is(info.value, 12)
})
