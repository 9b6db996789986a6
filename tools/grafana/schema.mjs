// Writes the JSON schema of a board, made from board.ts, to the file that it is given.

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createGenerator } from 'ts-json-schema-generator';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

const schema = createGenerator({
  path: here('board.ts'),
  tsconfig: here('tsconfig.json'),
  type: 'Board',
  additionalProperties: false,
}).createSchema('Board');

const definition = (branch) =>
  branch.$ref ? schema.definitions[decodeURIComponent(branch.$ref.replace('#/definitions/', ''))] : branch;

/** Lets overrides set what the defaults of the same fields may hold, by the names that overrides have for it. */
function describeOverrides(node) {
  if (node === null || typeof node !== 'object') return;
  Object.values(node).forEach(describeOverrides);
  const { defaults, overrides } = node.properties ?? {};
  if (!defaults || !overrides) return;
  const { custom, ...known } = definition(defaults).properties;
  const all = { ...known };
  for (const [name, value] of Object.entries(definition(custom).properties ?? {})) all[`custom.${name}`] = value;
  definition(overrides.items).properties.properties.items.anyOf = Object.entries(all).map(([id, value]) => ({
    type: 'object',
    properties: { id: { const: id }, value },
    required: ['id', 'value'],
    additionalProperties: false,
  }));
}

/** Which property tells the branches of a choice apart by a value of its own in each, if any does. */
function discriminator(branches) {
  return ['type', 'id'].find((name) => {
    const values = branches.map((branch) => {
      const of = definition(branch);
      return of.required?.includes(name) ? of.properties?.[name]?.const : undefined;
    });
    return values.every((value) => value !== undefined) && new Set(values).size === branches.length;
  });
}

/** Makes a choice that a property decides say so: its faults are then those of the branch that is meant. */
function discriminate(node) {
  if (node === null || typeof node !== 'object') return;
  Object.values(node).forEach(discriminate);
  if (!Array.isArray(node.anyOf)) return;
  const propertyName = discriminator(node.anyOf);
  if (propertyName === undefined) return;
  Object.assign(node, { type: 'object', discriminator: { propertyName }, oneOf: node.anyOf });
  delete node.anyOf;
}

describeOverrides(schema);
discriminate(schema);
writeFileSync(process.argv[2], JSON.stringify(schema));
