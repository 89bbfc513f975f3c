// @ts-nocheck
// What Grafana's app sets up before any panel is drawn: registries, theme, plugin loading.
import {
  EventBusSrv,
  createTheme,
  standardFieldConfigEditorRegistry,
  standardEditorsRegistry,
  standardTransformersRegistry,
  standardTransformers,
  unitOverrideProcessor,
  numberOverrideProcessor,
  booleanOverrideProcessor,
  displayNameOverrideProcessor,
  identityOverrideProcessor,
  dataLinksOverrideProcessor,
  valueMappingsOverrideProcessor,
  thresholdsOverrideProcessor,
} from '@grafana/data';
import { config, setAppEvents } from '@grafana/runtime';
export const params = new URLSearchParams(location.search);
config.theme2 = createTheme({ colors: { mode: params.get('theme') === 'light' ? 'light' : 'dark' } });
config.theme = config.theme2.v1;
config.featureToggles = { tableNextGen: true, ...(config.featureToggles || {}) };
const ed = () => null;
standardEditorsRegistry.setInit(() =>
  [
    'text',
    'number',
    'slider',
    'boolean',
    'select',
    'multi-select',
    'radio',
    'color',
    'unit',
    'strings',
    'links',
    'actions',
    'mappings',
    'thresholds',
    'timezone',
    'fieldColor',
    'stats-picker',
    'field-name',
    'dashboard-uid',
    'fieldMatcher',
  ].map((id) => ({ id, name: id, description: '', editor: ed })),
);
standardFieldConfigEditorRegistry.setInit(() =>
  [
    ['unit', unitOverrideProcessor],
    ['min', numberOverrideProcessor],
    ['max', numberOverrideProcessor],
    ['fieldMinMax', booleanOverrideProcessor],
    ['decimals', numberOverrideProcessor],
    ['displayName', displayNameOverrideProcessor],
    ['color', identityOverrideProcessor, { mode: 'thresholds' }],
    ['noValue', displayNameOverrideProcessor],
    ['links', dataLinksOverrideProcessor],
    ['actions', identityOverrideProcessor],
    ['mappings', valueMappingsOverrideProcessor, []],
    [
      'thresholds',
      thresholdsOverrideProcessor,
      {
        mode: 'absolute',
        steps: [
          { value: -Infinity, color: 'green' },
          { value: 80, color: 'red' },
        ],
      },
    ],
    ['filterable', booleanOverrideProcessor],
    ['description', displayNameOverrideProcessor],
  ].map(([id, process, defaultValue]) => ({
    id,
    path: id,
    name: id,
    description: '',
    editor: ed,
    override: ed,
    process,
    defaultValue,
    settings: {},
    shouldApply: () => true,
    category: [],
  })),
);
standardTransformersRegistry.setInit(() =>
  [...new Map(Object.values(standardTransformers).map((t) => [t.id, t])).values()].map((t) => ({
    id: t.id,
    name: t.name,
    transformation: async () => t,
    editor: ed,
    description: t.description,
  })),
);
setAppEvents(new EventBusSrv());
