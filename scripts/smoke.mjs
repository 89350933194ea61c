// Runs the built package in versions of Node that the tests do not run in, the unsupported ones among them: none may end
// in an abort, and each must compute with the best backend that it has. `npm run smoke:node` fetches the binaries, of some
// 40 MB each, from npm; `npm run smoke:node -- 18.20.4` only that one.

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { unfit } from '../dist/ts/backend/native.js'

const VERSIONS = [
  '18.20.4',
  '20.11.0',
  '20.12.0',
  '20.17.0',
  '20.19.0',
  '21.6.2',
  '22.5.0',
  '22.11.0',
  '22.12.0',
  '24.0.0',
]
const versions = process.argv.length > 2 ? process.argv.slice(2) : VERSIONS

// A call of each family with few arguments and with many, in ordinary and in shared memory; the values by hand.
const code = `
import { backend, crossEntropy, dice, mse } from ${JSON.stringify(new URL('../dist/ts/index.js', import.meta.url))}
const near = (got, expected) => {
  if (!(Math.abs(got - expected) < 1e-6)) throw new Error(got + ' is not ' + expected)
}
for (const memory of [ArrayBuffer, SharedArrayBuffer]) {
  const x = new Float32Array(new memory(1600)).fill(1)
  const y = new Float32Array(new memory(1600)).fill(3)
  const grad = new Float32Array(new memory(1600))
  const labels = new Int32Array(new memory(400))
  near(mse(x, y), 4)
  near(mse.valueAndGrad(x, y, { grad, weight: y, targetGrad: true }).value, 12)
  near(grad[399], -0.03)
  near(crossEntropy(x, labels), Math.log(4))
  near(crossEntropy.valueAndGrad(x, labels, { grad, labelSmoothing: 0.5, sampleWeight: y.subarray(0, 100) }).value, 3 * Math.log(4))
  near(dice(x, x, { shape: [1, 4, 100] }), 0)
  near(dice.valueAndGrad(x, labels.subarray(0, 100), { shape: [1, 4, 100], activation: 'softmax', grad }).value, 0.9)
}
console.log(backend().name)`

const folder = mkdtempSync(join(tmpdir(), 'fused-loss-node-'))
try {
  for (const version of versions) {
    const [archive] = JSON.parse(
      execFileSync('npm', ['pack', '--json', `node-${process.platform}-${process.arch}@${version}`], {
        cwd: folder,
        encoding: 'utf8',
      }),
    )
    execFileSync('tar', ['xzf', archive.filename, 'package/bin/node'], { cwd: folder })
    const node = join(folder, 'package', 'bin', 'node')
    const { status, signal, stdout, stderr } = spawnSync(node, ['--input-type=module', '-e', code], {
      encoding: 'utf8',
    })
    const expected = unfit({ node: version }) === undefined ? 'native' : 'wasm'
    const got = status === 0 ? stdout.trim() : `${stderr.trim().split('\n').slice(-3).join(' ')} (${signal ?? status})`
    console.log(`Node ${version}: ${got}`)
    if (got !== expected) {
      console.error(`  expected ${expected}`)
      process.exitCode = 1
    }
    rmSync(join(folder, archive.filename))
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
