// Checks boards against the schema: node check.mjs SCHEMA BOARD…

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';

/** Returns a function that lists a board's faults, each with its place. */
export function checker(schemaFile) {
  const ajv = new Ajv({ allErrors: true, discriminator: true, strict: true, strictTypes: false, allowUnionTypes: true });
  const validate = ajv.compile(JSON.parse(readFileSync(schemaFile, 'utf8')));
  return (board) => (validate(board) ? [] : validate.errors.map((error) => describe(board, error)));
}

function describe(board, { instancePath, message, params }) {
  const steps = instancePath.split('/').slice(1);
  const panel = steps[0] === 'panels' ? ` (panel “${board.panels[steps[1]]?.title}”)` : '';
  const detail = params.additionalProperty ?? params.allowedValues?.join(', ') ?? params.allowedValue ?? params.tagValue;
  return `${instancePath || '/'}${panel}: ${message}${detail === undefined ? '' : `: ${detail}`}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [schema, ...files] = process.argv.slice(2);
  if (files.length === 0) {
    console.error('usage: node check.mjs SCHEMA BOARD…');
    process.exit(2);
  }
  const check = checker(schema);
  for (const file of files) {
    const faults = check(JSON.parse(readFileSync(file, 'utf8')));
    for (const fault of faults) console.error(`${file}: ${fault}`);
    if (faults.length > 0) process.exitCode = 1;
    else console.log(`${file}: as Grafana's types want it`);
  }
}
