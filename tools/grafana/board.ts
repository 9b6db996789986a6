// What a board may hold, in terms of the types of Grafana's foundation SDK; schema.mjs makes a
// JSON schema of it. The SDK says "any" where the kind of panel decides, and demands what
// Grafana fills in: here each panel has the options of its kind, none of them required.

import type * as barchart from '@grafana/grafana-foundation-sdk/barchart';
import type * as bargauge from '@grafana/grafana-foundation-sdk/bargauge';
import type * as common from '@grafana/grafana-foundation-sdk/common';
import type * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import type * as heatmap from '@grafana/grafana-foundation-sdk/heatmap';
import type * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import type * as stat from '@grafana/grafana-foundation-sdk/stat';
import type * as table from '@grafana/grafana-foundation-sdk/table';
import type * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';

type Some<T> = T extends (infer E)[] ? Some<E>[] : T extends object ? { [K in keyof T]?: Some<T[K]> } : T;

/** A link from a value; the SDK has only those of boards. */
interface DataLink {
  title: string;
  url: string;
  targetBlank?: boolean;
}

type Known = Omit<dashboard.FieldConfig, 'custom' | 'links'> & { links?: DataLink[] };

/** What an override may set is what the defaults may; schema.mjs writes that down. */
interface Fields<Custom> {
  defaults: Known & { custom?: Some<Custom> };
  overrides: { matcher: { id: 'byName'; options: string }; properties: { id: string; value: unknown }[] }[];
}

/** The transformations that the boards use; the SDK knows none of their options. */
type Transformation =
  | { id: 'joinByField'; options: { byField: string; mode: 'outer' | 'inner' | 'outerTabular' } }
  | { id: 'filterFieldsByName'; options: { include: { pattern: string } | { names: string[] } } }
  | { id: 'sortBy'; options: { sort: { field: string; desc?: boolean }[] } }
  | {
      id: 'organize';
      options: {
        excludeByName?: Record<string, boolean>;
        indexByName?: Record<string, number>;
        renameByName?: Record<string, string>;
      };
    }
  | {
      id: 'groupingToMatrix';
      options: { columnField: string; rowField: string; valueField: string; emptyValue: 'null' | 'empty' | 'zero' };
    }
  | {
      id: 'convertFieldType';
      options: {
        conversions: { targetField: string; destinationType: 'string' | 'number' | 'time'; dateFormat?: string; timezone?: string }[];
      };
    }
  | {
      id: 'groupBy';
      options: {
        fields: Record<string, { operation: 'groupby' | 'aggregate'; aggregations: ('sum' | 'max' | 'min' | 'mean')[] }>;
      };
    }
  | {
      id: 'calculateField';
      options: { mode: 'binary'; alias: string; binary: { left: string; operator: '+' | '-' | '*' | '/'; right: string } };
    };

type Query = Omit<prometheus.Dataquery, '_implementsDataqueryVariant' | 'refId'> & { refId: string };

type PanelOf<Type extends string, Options, Config> = Omit<
  dashboard.Panel,
  'type' | 'id' | 'title' | 'description' | 'datasource' | 'gridPos' | 'targets' | 'transformations' | 'fieldConfig' | 'options'
> & {
  type: Type;
  id: number;
  title: string;
  description: string;
  datasource: Required<Pick<common.DataSourceRef, 'type' | 'uid'>>;
  gridPos: dashboard.GridPos;
  targets: Query[];
  transformations?: Transformation[];
  fieldConfig: Config;
  options: Some<Options>;
};

type Panel =
  | PanelOf<'barchart', barchart.Options, Fields<barchart.FieldConfig>>
  | PanelOf<'bargauge', bargauge.Options, Fields<Record<string, never>>>
  | PanelOf<'heatmap', heatmap.Options, Fields<heatmap.FieldConfig>>
  | PanelOf<'stat', stat.Options, Fields<Record<string, never>>>
  | PanelOf<'table', table.Options, Fields<table.FieldConfig>>
  | PanelOf<'timeseries', timeseries.Options, Fields<timeseries.FieldConfig>>;

export type Board = Omit<dashboard.Dashboard, 'id' | 'panels'> & {
  /** Grafana gives it. */
  id: null;
  panels: (Panel | dashboard.RowPanel)[];
};
