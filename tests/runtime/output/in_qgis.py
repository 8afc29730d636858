"""Opens layers in QGIS, as a user does: run by the Python that has QGIS, see test_qgis.py.

In, as JSON: {"layers": [paths], "pictures": [{"layers": [indices, the uppermost first], "crs",
"extent", "size": [width, height], "out": path}]}. Out, as JSON: one report a layer.
"""

import json
import sys
from collections import Counter
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsLayerTree,
    QgsLayerTreeModel,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProviderRegistry,
    QgsRasterBandStats,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QSize, Qt
from qgis.PyQt.QtGui import QColor

GROUND = QColor(10, 90, 60)
"""What is behind the layers."""


def opened(path: str):
    if path.endswith((".tif", ".png")):
        return QgsRasterLayer(path, Path(path).stem)
    return QgsVectorLayer(path, Path(path).stem, "ogr")


def legend(layer) -> list[str]:
    """The lines under the layer's name, as the panel of layers shows them."""
    tree = QgsLayerTree()
    node = tree.addLayer(layer)
    model = QgsLayerTreeModel(tree)
    return [each.data(Qt.DisplayRole) for each in model.layerLegendNodes(node)]


def about(layer) -> dict:
    box = layer.extent()
    return {
        "valid": layer.isValid(),
        "crs": layer.crs().authid(),
        "extent": [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()],
        "renderer": layer.renderer().type(),
        "legend": legend(layer),
        **(about_raster(layer) if isinstance(layer, QgsRasterLayer) else about_vector(layer)),
    }


def about_raster(layer) -> dict:
    provider = layer.dataProvider()
    found = {
        "entries": [[label, colour.getRgb()] for label, colour in layer.legendSymbologyItems()],
        "size": [layer.width(), layer.height()],
        "nodata": provider.sourceNoDataValue(1) if provider.sourceHasNoDataValue(1) else None,
    }
    if layer.renderer().type() == "paletted":
        found["values"] = [each.value for each in layer.renderer().classes()]
    else:
        statistics = provider.bandStatistics(1, QgsRasterBandStats.Min | QgsRasterBandStats.Max)
        found["range"] = [statistics.minimumValue, statistics.maximumValue]
    return found


def about_vector(layer) -> dict:
    renderer, registry = layer.renderer(), QgsProviderRegistry.instance()
    found = {
        "geometry": QgsWkbTypes.displayString(layer.wkbType()),
        "fields": {each.name(): each.displayName() for each in layer.fields()},
        "tables": [each.name() for each in registry.querySublayers(layer.source())],
        "counts": Counter(each["damage"] for each in layer.getFeatures()),
    }
    if renderer.type() == "categorizedSymbol":
        found["attribute"] = renderer.classAttribute()
        found["categories"] = {
            each.value(): each.symbol().color().getRgb() for each in renderer.categories()
        }
    return found


def draw(layers: list, picture: dict) -> None:
    settings = QgsMapSettings()
    settings.setLayers([layers[index] for index in picture["layers"]])
    settings.setDestinationCrs(QgsCoordinateReferenceSystem(picture["crs"]))
    settings.setExtent(QgsRectangle(*picture["extent"]))
    settings.setOutputSize(QSize(*picture["size"]))
    settings.setBackgroundColor(GROUND)
    settings.setFlag(QgsMapSettings.Antialiasing, False)
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    assert not job.errors(), [each.message for each in job.errors()]
    assert job.renderedImage().save(picture["out"])


def main() -> None:
    request = json.load(sys.stdin)
    application = QgsApplication([], False)
    application.initQgis()
    layers = [opened(path) for path in request["layers"]]
    reports = [about(layer) for layer in layers]
    for picture in request["pictures"]:
        draw(layers, picture)
    print(json.dumps(reports))
    del layers  # before the application that they belong to
    application.exitQgis()


if __name__ == "__main__":
    main()
