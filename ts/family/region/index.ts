/** Losses of whole planes, alone or with a loss of each position beside them. */

export { compound } from './compound.js'
export * from './definition.js'
export { region } from './region.js'
