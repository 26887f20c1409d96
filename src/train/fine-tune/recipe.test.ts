import { describe, expect, it } from 'vitest'
import { completeRecipe, heededSettings, parseRecipe, RECIPE_DEFAULTS, recipeId } from './recipe.ts'

describe('a recipe', () => {
  it('is complete for every method, and survives JSON', () => {
    for (const method of ['head', 'lora', 'full'] as const) {
      const recipe = completeRecipe({ method })
      expect(parseRecipe(JSON.parse(JSON.stringify(recipe)))).toEqual(recipe)
    }
    expect(completeRecipe({ method: 'full' }).learningRate).toBeLessThan(
      completeRecipe({ method: 'lora' }).learningRate,
    )
    expect(completeRecipe({ method: 'lora', rank: 4, layerCount: 3 })).toMatchObject({
      rank: 4,
      alpha: 16,
      layerCount: 3,
    })
  })

  it('tells which settings its method heeds', () => {
    const heeded = (method: 'head' | 'lora' | 'contrastive') =>
      Object.keys(heededSettings(completeRecipe({ method })))
    expect(heeded('lora')).toEqual(expect.arrayContaining(['rank', 'learningRate', 'seed']))
    expect(heeded('lora')).not.toContain('contrastShare')
    expect(heeded('contrastive')).toContain('contrastShare')
    expect(heeded('contrastive')).not.toContain('rank')
    expect(heeded('head')).not.toContain('learningRate')
  })

  it('gives a reason for every default', () => {
    const fields = Object.keys(completeRecipe({ method: 'lora' }))
    expect(Object.keys(RECIPE_DEFAULTS).sort()).toEqual(
      fields.filter(field => field !== 'version' && field !== 'method').sort(),
    )
    for (const { reason } of Object.values(RECIPE_DEFAULTS)) expect(reason).not.toBe('')
  })

  it.each([
    ['method', 'prompt', 'recipe.method'],
    ['rank', 0, 'recipe.rank'],
    ['learningRate', Number.NaN, 'recipe.learningRate'],
    ['targetModules', ['.*'], 'recipe.targetModules.0'],
    ['labelSmoothing', 1, 'recipe.labelSmoothing'],
    ['version', 2, 'recipe.version'],
    ['dropuot', 0.1, 'recipe'],
  ])('with %s = %j is refused', (field, value, param) => {
    const recipe = { ...completeRecipe({ method: 'lora' }), [field]: value }
    expect(() => parseRecipe(recipe)).toThrowError(
      expect.objectContaining({ code: 'request-invalid', details: { param } }),
    )
  })

  it('has an id that changes with recipe, weights and data, and not with the order of fields', () => {
    const inputs = { weightsHash: 'a'.repeat(64), dataHash: 'b'.repeat(64) }
    const recipe = completeRecipe({ method: 'lora' })
    const shuffled = Object.fromEntries(Object.entries(recipe).reverse()) as typeof recipe
    const ids = [
      recipeId(recipe, inputs),
      recipeId({ ...recipe, seed: 1 }, inputs),
      recipeId(recipe, { ...inputs, weightsHash: 'c'.repeat(64) }),
      recipeId(recipe, { ...inputs, dataHash: 'c'.repeat(64) }),
    ]
    expect(new Set(ids).size).toBe(4)
    expect(ids[0]).toMatch(/^[0-9a-f]{16}$/)
    expect(recipeId({ ...recipe, tokenDropout: 0.1 }, inputs)).not.toBe(ids[0])
    expect(recipeId(shuffled, inputs)).toBe(ids[0])
  })

  it('keeps its id where it was written before tokens could be dropped', () => {
    const { tokenDropout: _, ...older } = completeRecipe({ method: 'lora' })
    const inputs = { weightsHash: 'a'.repeat(64), dataHash: 'b'.repeat(64) }
    const read = parseRecipe(older)
    expect(read.tokenDropout).toBe(0)
    expect(recipeId(read, inputs)).toBe('8a9e999537e9c0b5')
  })
})
