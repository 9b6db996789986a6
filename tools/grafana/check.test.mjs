// The check must find misspelt keys and values: SCHEMA and BOARDS name the schema and a folder of boards.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checker } from './check.mjs';

const { SCHEMA, BOARDS } = process.env;
const check = checker(SCHEMA);
const boards = readdirSync(BOARDS)
  .filter((name) => name.endsWith('.json'))
  .map((name) => readFileSync(join(BOARDS, name), 'utf8'));

/** Applies a change to the first panel of a kind that any board has, and returns what is found. */
function change(type, alter) {
  for (const text of boards) {
    const board = JSON.parse(text);
    const panel = board.panels.find((panel) => panel.type === type);
    if (panel === undefined) continue;
    alter(panel, board);
    return check(board).join('\n');
  }
  throw new Error(`no board has a panel of the kind ${type}`);
}

function rename(object, from, to) {
  assert.ok(from in object, `${from} is not there`);
  object[to] = object[from];
  delete object[from];
}

test('the boards are right', () => {
  assert.equal(boards.length, 3);
  for (const text of boards) assert.deepEqual(check(JSON.parse(text)), []);
});

const kinds = ['barchart', 'bargauge', 'heatmap', 'stat', 'table', 'timeseries'];
for (const [what, alter] of [
  ['a key of the panel', (panel) => rename(panel, 'gridPos', 'gridpos')],
  ['a key of the query', (panel) => rename(panel.targets[0], 'expr', 'exp')],
  ['a key of the field defaults', (panel) => (panel.fieldConfig.defaults.treshold = {})],
  ['a key of the options', (panel) => (panel.options.legends = {})],
  ['a key that the panel lacks', (panel) => delete panel.description],
  ['a kind of panel', (panel) => (panel.type += 's')],
  ['a value of the query', (panel) => (panel.targets[0].format = 'tabel')],
  ['a type of value', (panel) => (panel.targets[0].instant = 'true')],
  ['a mode of the thresholds', (panel) => (panel.fieldConfig.defaults.thresholds = { mode: 'absolut', steps: [] })],
  ['a matcher', (panel) => panel.fieldConfig.overrides.push({ matcher: { id: 'byname', options: 'A' }, properties: [] })],
  ['an overridden key', (panel) => panel.fieldConfig.overrides.push({ matcher: { id: 'byName', options: 'A' }, properties: [{ id: 'units', value: 's' }] })],
  ['an overridden value', (panel) => panel.fieldConfig.overrides.push({ matcher: { id: 'byName', options: 'A' }, properties: [{ id: 'decimals', value: '2' }] })],
  ['a transformation', (panel) => (panel.transformations = [{ id: 'organise', options: {} }])],
]) {
  for (const kind of kinds) {
    test(`${what}, misspelt in a ${kind}`, () => {
      const found = change(kind, alter);
      assert.match(found, /^\/panels\/\d+.*\(panel “.+”\): /m);
      // The fault is told once, not once for each kind of panel that it might have been.
      assert.ok(found.split('\n').length <= 3, found);
    });
  }
}

for (const [what, kind, place, alter] of [
  ['a key of the board', 'table', /^\/.*: timezon$/m, (_, board) => rename(board, 'timezone', 'timezon')],
  ['a key of a variable', 'table', /^\/templating\/list\/1: .*: includeALL$/m, (_, board) => rename(board.templating.list[1], 'includeAll', 'includeALL')],
  ['a type of variable', 'table', /^\/templating\/list\/1\/type: .*query/m, (_, board) => (board.templating.list[1].type = 'querry')],
  ['a key of a link', 'table', /^\/links\/0: .*: includeVar$/m, (_, board) => rename(board.links[0], 'includeVars', 'includeVar')],
  ['an id that Grafana gives', 'table', /^\/id: /m, (_, board) => (board.id = 7)],
  ['how bars are stacked', 'barchart', /options\/stacking.*normal/m, (panel) => (panel.options.stacking = 'stacked')],
  ['a style of thresholds', 'timeseries', /thresholdsStyle\/mode/m, (panel) => (panel.fieldConfig.defaults.custom.thresholdsStyle = { mode: 'dotted' })],
  ['a key of the style', 'timeseries', /custom.*: fillOpacty$/m, (panel) => (panel.fieldConfig.defaults.custom.fillOpacty = 1)],
  ['a color mode', 'stat', /options\/colorMode/m, (panel) => (panel.options.colorMode = 'values')],
  ['how a cell is drawn', 'table', /value\/type .*: color-background$/m, (panel) => panel.fieldConfig.overrides.push({ matcher: { id: 'byName', options: 'A' }, properties: [{ id: 'custom.cellOptions', value: { type: 'color-backgrond' } }] })],
  ['a style that only graphs have', 'table', /custom.lineWidth/m, (panel) => panel.fieldConfig.overrides.push({ matcher: { id: 'byName', options: 'A' }, properties: [{ id: 'custom.lineWidth', value: 1 }] })],
]) {
  test(`${what}, misspelt`, () => assert.match(change(kind, alter), place));
}

test('the lock file names no registry', () => {
  const lock = JSON.parse(readFileSync(new URL('package-lock.json', import.meta.url), 'utf8'));
  for (const [name, entry] of Object.entries(lock.packages)) {
    assert.equal(entry.resolved, undefined, name);
    assert.ok(name === '' || entry.integrity, `${name} has no checksum`);
  }
});
