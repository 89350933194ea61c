import { mkdirSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as echarts from 'echarts'

/** Writes a picture and returns its path. */
export function draw(name: string, width: number, height: number, option: echarts.EChartsOption): string {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width, height })
  chart.setOption({ animation: false, backgroundColor: '#ffffff', ...option })
  const file = new URL(`../../results/${name}.svg`, import.meta.url)
  mkdirSync(new URL('.', file), { recursive: true })
  writeFileSync(file, chart.renderToSVGString())
  chart.dispose()
  return relative(process.cwd(), fileURLToPath(file))
}
